//! Kernel parameters, as a file of sysctl.d(5) sets them.

/// The parameters of a machine, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// One for each line that sets one; no key is there twice.
    pub settings: Vec<Setting>,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name as a path below `/proc/sys`: `net/ipv4/ip_forward`.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Whether a kernel that does not have it may go without (`-` before it).
    pub optional: bool,
    /// Lines of comment before it: why it is as it is.
    pub because: Vec<String>,
}

impl Settings {
    /// The value of a key; none where the file says nothing of it.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.key == key).map(|setting| setting.value.as_str())
    }
}

impl Setting {
    /// A parameter with a reason.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<String>, because: &[&str]) -> Self {
        let because = because.iter().map(|line| (*line).to_owned()).collect();
        Self { key: key.into(), value: value.into(), optional: false, because }
    }
}
