//! The stable names of findings. Each has a page `docs/diagnostics/<code>.md`, which
//! `fwc explain <code>` shows, and a failing case in `tests/suite/fail`; a test holds the three together.

/// The stable name of a kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(&'static str);

impl Code {
    /// The name, kebab-case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

macro_rules! codes {
    ($($name:ident = $text:literal),* $(,)?) => {
        $(#[doc = concat!("`", $text, "`: see `docs/diagnostics/", $text, ".md`.")]
        pub const $name: Code = Code($text);)*

        /// Every code with its page, in alphabetical order of the constants.
        pub const ALL: &[(Code, &str)] = &[
            $(($name, include_str!(concat!("../../docs/diagnostics/", $text, ".md")))),*
        ];
    };
}

// One line a code, in alphabetical order.
codes! {
    BAD_ADDRESS = "bad-address",
    BAD_DATE = "bad-date",
    BAD_INTERFACE_NAME = "bad-interface-name",
    CONTROL_CHARACTER = "control-character",
    FILE_TOO_LARGE = "file-too-large",
    NESTED_TOO_DEEP = "nested-too-deep",
    NOT_FORMATTED = "not-formatted",
    NUMBER_OUT_OF_RANGE = "number-out-of-range",
    STATEMENT_TOO_LONG = "statement-too-long",
    SYNTAX = "syntax",
    UNKNOWN_STATEMENT = "unknown-statement",
    UNKNOWN_ZONE = "unknown-zone",
    UNTERMINATED_STRING = "unterminated-string",
}
