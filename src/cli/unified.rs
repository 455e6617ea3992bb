//! The difference of two files, as `diff -u` says it.

use std::time::Duration;

use similar::TextDiff;

/// The difference, cleaned lines and all; empty where there is none. A name is `/dev/null` for a file that is not there.
pub(super) fn unified(old_name: &str, old: &str, new_name: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    // Two large files with nothing in common take quadratic time; past this the difference is right, not least.
    let diff = TextDiff::configure().timeout(Duration::from_secs(5)).diff_lines(old, new);
    let text = diff.unified_diff().context_radius(3).header(old_name, new_name).to_string();
    super::clean::clean(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_shown_with_its_neighbours() {
        let old: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let diff = unified("old", &old, "new", &old.replace("10\n", "ten\n"));
        assert_eq!(diff, "--- old\n+++ new\n@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n");
        assert_eq!(unified("a", "x\n", "b", "x\n"), "");
        assert_eq!(unified("/dev/null", "", "b", "x\n"), "--- /dev/null\n+++ b\n@@ -0,0 +1 @@\n+x\n");
        assert!(unified("a", "x", "b", "x\n").contains("\\ No newline at end of file"));
    }
}
