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
    ACCOUNT_UID = "account-uid",
    ADDRESS_OUTSIDE_ZONE = "address-outside-zone",
    AMBIGUOUS_ROUTE = "ambiguous-route",
    ANY_TO_ANY = "any-to-any",
    ASYMMETRIC_PATH = "asymmetric-path",
    AUDIT_ALGORITHMS = "audit-algorithms",
    AUDIT_HOST_KEY = "audit-host-key",
    AUDIT_KEY_ONLY = "audit-key-only",
    AUDIT_STRICT_KEX = "audit-strict-kex",
    AWS_DEVIATION = "aws-deviation",
    BACKWARDS_RANGE = "backwards-range",
    BAD_ADDRESS = "bad-address",
    BAD_DATE = "bad-date",
    BAD_INTERFACE_NAME = "bad-interface-name",
    BAD_KEY = "bad-key",
    BAD_LIST_LINE = "bad-list-line",
    BAD_ROUTE = "bad-route",
    BAD_VALUE = "bad-value",
    BAD_VPC = "bad-vpc",
    BUILT_IN_SERVICE = "built-in-service",
    CANNOT_FILTER = "cannot-filter",
    CLOSED_LEG = "closed-leg",
    CONFLICTING_ROUTES = "conflicting-routes",
    CONTROL_CHARACTER = "control-character",
    DEFINITION_CYCLE = "definition-cycle",
    DENIED_ALLOW = "denied-allow",
    DUPLICATE_ADDRESS = "duplicate-address",
    DUPLICATE_INTERFACE = "duplicate-interface",
    DUPLICATE_MODIFIER = "duplicate-modifier",
    DUPLICATE_NAME = "duplicate-name",
    DYNAMIC_LEG = "dynamic-leg",
    ECHO_REPLY = "echo-reply",
    EMPTIED_PLACES = "emptied-places",
    EMPTY_END = "empty-end",
    EMPTY_LIST = "empty-list",
    EXPIRED = "expired",
    EXPOSED_PORT = "exposed-port",
    EXPOSED_SERVICE = "exposed-service",
    EXTENSION_HEADER = "extension-header",
    FAMILY_MISMATCH = "family-mismatch",
    FILE_TOO_LARGE = "file-too-large",
    HOST_BITS = "host-bits",
    HOST_WITHOUT_LEG = "host-without-leg",
    IDLE_DENY = "idle-deny",
    IDLE_DIRECT = "idle-direct",
    IDLE_EXCEPT = "idle-except",
    INCLUDE_CYCLE = "include-cycle",
    KEY_AGENT_FORWARDING = "key-agent-forwarding",
    KEY_AUTHORITY = "key-authority",
    KEY_DUPLICATE = "key-duplicate",
    KEY_EXPIRY = "key-expiry",
    KEY_FROM = "key-from",
    KEY_LINE_IGNORED = "key-line-ignored",
    KEY_OPEN_FORWARDING = "key-open-forwarding",
    KEY_OWNER = "key-owner",
    KEY_TOUCH = "key-touch",
    KEY_TYPE = "key-type",
    KEY_UNRESTRICTED = "key-unrestricted",
    KEY_WEAK = "key-weak",
    LINTS_UNDECIDED = "lints-undecided",
    MISPLACED_MODIFIER = "misplaced-modifier",
    MIXED_BRIDGES = "mixed-bridges",
    MIXED_RANGE = "mixed-range",
    NAT_ADDRESS = "nat-address",
    NAT_CONFLICT = "nat-conflict",
    NAT_PORT = "nat-port",
    NAT_TARGET = "nat-target",
    NAT_UNSERVED = "nat-unserved",
    NAT_WHERE = "nat-where",
    NEEDLESS_ALLOW = "needless-allow",
    NESTED_EXCEPT = "nested-except",
    NESTED_TOO_DEEP = "nested-too-deep",
    NEW_LEASES = "new-leases",
    NOT_AN_ADDRESS = "not-an-address",
    NOT_A_MEMBER = "not-a-member",
    NOT_A_NETWORK = "not-a-network",
    NOT_FORMATTED = "not-formatted",
    NOT_SUPPORTED_YET = "not-supported-yet",
    NOT_UNICAST = "not-unicast",
    NO_AWS_PLAN = "no-aws-plan",
    NO_EXPIRY = "no-expiry",
    NO_KEY = "no-key",
    NO_PATH = "no-path",
    NO_SSHD = "no-sshd",
    NO_SUCH_LEG = "no-such-leg",
    NUMBER_OUT_OF_RANGE = "number-out-of-range",
    OUTSIDE_VPC = "outside-vpc",
    OVERLAPPING_PORTS = "overlapping-ports",
    OVERLAPPING_ZONES = "overlapping-zones",
    PUBLIC_ADDRESS = "public-address",
    REST_WITH_NETWORKS = "rest-with-networks",
    ROUND_THE_BASTION = "round-the-bastion",
    SECOND_BRIDGE = "second-bridge",
    SECOND_LEG = "second-leg",
    SECOND_REST = "second-rest",
    SERVE_CANNOT = "serve-cannot",
    SSHD_KEY_SOURCE = "sshd-key-source",
    SSHD_NOT_ASKED = "sshd-not-asked",
    SSHD_NO_KEYS = "sshd-no-keys",
    SSHD_OVERRIDDEN = "sshd-overridden",
    SSHD_PASSWORD = "sshd-password",
    SSHD_REFUSES = "sshd-refuses",
    SSHD_UNKNOWN_GROUP = "sshd-unknown-group",
    SSHD_WEAK_SETTING = "sshd-weak-setting",
    SSH_WITHOUT_AS = "ssh-without-as",
    STATELESS_REPLIES = "stateless-replies",
    STATEMENT_TOO_LONG = "statement-too-long",
    SYNTAX = "syntax",
    TOO_COARSE = "too-coarse",
    TOO_LARGE = "too-large",
    TOO_MANY_RULES = "too-many-rules",
    UNCONFINED_ACCOUNT = "unconfined-account",
    UNFILTERED_ALLOW = "unfiltered-allow",
    UNFILTERED_DENY = "unfiltered-deny",
    UNKNOWN_CODE = "unknown-code",
    UNKNOWN_GROUP = "unknown-group",
    UNKNOWN_HOST = "unknown-host",
    UNKNOWN_ICMP_TYPE = "unknown-icmp-type",
    UNKNOWN_KEY_KIND = "unknown-key-kind",
    UNKNOWN_PLACE = "unknown-place",
    UNKNOWN_PROTOCOL = "unknown-protocol",
    UNKNOWN_SERVICE = "unknown-service",
    UNKNOWN_STATEMENT = "unknown-statement",
    UNKNOWN_USER = "unknown-user",
    UNKNOWN_VARIABLE = "unknown-variable",
    UNKNOWN_VPC = "unknown-vpc",
    UNKNOWN_WAIVER = "unknown-waiver",
    UNKNOWN_ZONE = "unknown-zone",
    UNNAMED_LEG = "unnamed-leg",
    UNPRINTABLE = "unprintable",
    UNREADABLE_FILE = "unreadable-file",
    UNSET_VARIABLE = "unset-variable",
    UNSUPPORTED_DATE = "unsupported-date",
    UNSUPPORTED_JUMP = "unsupported-jump",
    UNSUPPORTED_LIMIT = "unsupported-limit",
    UNSUPPORTED_ON_AWS = "unsupported-on-aws",
    UNTERMINATED_STRING = "unterminated-string",
    UNUSED_GROUP = "unused-group",
    UNUSED_HOST = "unused-host",
    UNUSED_LIST = "unused-list",
    UNUSED_SERVICE = "unused-service",
    UNUSED_USER = "unused-user",
    UNUSED_VARIABLE = "unused-variable",
    UNUSED_ZONE = "unused-zone",
    UNZONED_ADDRESS = "unzoned-address",
    WEAK_KEY = "weak-key",
    WHICH_LEG = "which-leg",
    WRONG_KIND = "wrong-kind",
}
