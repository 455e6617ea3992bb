//! The command lines whose answers are frozen, by the name of their snapshot.

/// Snapshot name, arguments; run in a copy of `tests/cli/`.
pub const CASES: &[(&str, &[&str])] = &[
    ("help", &["--help"]),
    ("help_trace", &["trace", "--help"]),
    ("no_command", &[]),
    ("no_such_command", &["prove"]),
    ("explain_unknown", &["explain", "unknown-zoen"]),
    ("check_no_policy", &["check"]),
    ("check_no_such_file", &["check", "nowhere.fw"]),
    ("check_folder_without_policies", &["check", "elsewhere"]),
    ("check_not_utf8", &["check", "latin1.fw"]),
    ("compile_bad_set", &["compile", "--set", "lonely", "some.fw"]),
    ("compile_output_and_check", &["compile", "-o", "a", "--check", "b", "some.fw"]),
    ("verify_bad_time", &["verify", "--at", "tomorrow", "some.fw"]),
    ("verify_no_ruleset", &["verify", "some.fw", "--against", "none.nft"]),
    ("trace_no_packet", &["trace", "some.fw", "http from lb to db"]),
    ("trace_names", &["trace", "some.fw", "tcp 80 from lb to db"]),
    ("fmt_stdin_and_files", &["fmt", "-", "some.fw"]),
];
