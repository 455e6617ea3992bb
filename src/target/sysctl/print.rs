//! Prints kernel parameters as a file of sysctl.d(5).

use std::fmt::Write as _;

use super::artifact::Settings;

/// The text that [`read`](super::read::read) reads back.
///
/// A name is written with dots, as in the kernel's documentation; one with a dot in a part (`eth0.100`) with slashes.
#[must_use]
pub fn print(settings: &Settings) -> String {
    let mut text = String::new();
    for (at, setting) in settings.settings.iter().enumerate() {
        if at > 0 && !setting.because.is_empty() {
            text.push('\n');
        }
        for line in &setting.because {
            let _ = writeln!(text, "# {line}");
        }
        let dash = if setting.optional { "-" } else { "" };
        let key = if setting.key.contains('.') { setting.key.clone() } else { setting.key.replace('/', ".") };
        let _ = writeln!(text, "{dash}{key} = {}", setting.value);
    }
    text
}
