//! The command lines whose answers are frozen, by the name of their snapshot.

#![allow(dead_code, reason = "one test runs the cases, another one counts them")]

/// Policies of `tests/cli/diag/` whose findings are frozen as a person sees them, by name.
pub(crate) const FINDINGS: &[&str] =
    &["addresses", "listing", "no_way", "nothing_between", "typos", "widening"];

/// Snapshot name, arguments; run in a copy of `tests/cli/`, which has `policies/` too.
pub(crate) const CASES: &[(&str, &[&str])] = &[
    ("help", &["--help"]),
    ("help_trace", &["trace", "--help"]),
    ("help_lab", &["lab", "--help"]),
    ("no_command", &[]),
    ("no_such_command", &["prove"]),
    ("bastion_help", &["bastion", "--help"]),
    ("bastion_lint", &["bastion", "lint", "--at", "2026-11-21", "authorized_keys", "eva.pub"]),
    ("bastion_lint_json", &["bastion", "lint", "--at", "2026-11-21", "--format", "json", "eva.pub"]),
    ("explain_unknown", &["explain", "unknown-zoen"]),
    ("check_no_policy", &["check"]),
    ("check_no_such_file", &["check", "nowhere.fw"]),
    ("check_folder_without_policies", &["check", "elsewhere"]),
    ("check_not_utf8", &["check", "latin1.fw"]),
    ("check_fine", &["check", "site.fw"]),
    ("check_findings", &["check", "wrong.fw"]),
    ("check_findings_short", &["check", "--format", "short", "wrong.fw"]),
    ("check_findings_json", &["check", "--format", "json", "wrong.fw"]),
    ("check_missing_include", &["check", "includes.fw"]),
    ("check_round", &["check", "round.fw"]),
    ("reach_unknown", &["reach", "site.fw", "who can reach nosuch postgress"]),
    ("matrix_unknown", &["matrix", "--service", "htttp", "site.fw"]),
    ("compile_bad_set", &["compile", "--set", "lonely", "some.fw"]),
    ("compile_output_and_check", &["compile", "-o", "a", "--check", "b", "some.fw"]),
    ("verify_bad_time", &["verify", "--at", "tomorrow", "some.fw"]),
    ("verify_no_ruleset", &["verify", "some.fw", "--against", "none.nft"]),
    ("diff_aws", &["diff", "aws/monday", "aws/friday"]),
    ("diff_aws_same", &["diff", "aws/monday", "aws/monday"]),
    ("diff_aws_deny_widening", &["diff", "--deny-widening", "--format", "json", "aws/monday", "aws/friday"]),
    ("diff_findings_json", &["diff", "--format", "json", "site.fw", "wrong.fw"]),
    ("diff_groups", &["diff", "diff/groups.fw", "diff/groups_more.fw"]),
    (
        "diff_groups_deny_widening",
        &["diff", "--deny-widening", "--format", "json", "diff/groups.fw", "diff/groups_more.fw"],
    ),
    ("diff_people", &["diff", "--at", "2026-11-21", "diff/people.fw", "diff/people_more.fw"]),
    (
        "diff_people_deny_widening",
        &[
            "diff",
            "--deny-widening",
            "--at",
            "2026-11-21",
            "--format",
            "json",
            "diff/people.fw",
            "diff/people_more.fw",
        ],
    ),
    (
        "diff_people_fewer",
        &["diff", "--deny-widening", "--at", "2026-11-21", "diff/people_more.fw", "diff/people.fw"],
    ),
    ("diff_aws_described_twice", &["diff", "aws-twice", "aws/monday"]),
    ("import_aws", &["import", "aws", "aws/monday"]),
    ("import_aws_json", &["import", "aws", "aws/monday", "--format", "json"]),
    ("import_aws_unsaid", &["import", "aws", "aws-unsaid"]),
    ("verify_aws_live", &["verify", "--aws-live", "aws/monday", "aws.fw"]),
    ("verify_aws_live_drifted", &["verify", "--aws-live", "aws/friday", "aws.fw"]),
    ("verify_aws_live_json", &["verify", "--aws-live", "aws/friday", "--format", "json", "aws.fw"]),
    ("verify_aws_live_worn", &["verify", "--aws-live", "aws-worn", "aws.fw"]),
    ("help_plan", &["plan", "--help"]),
    ("plan_aws_live", &["plan", "--aws-live", "aws-drifted", "aws.fw"]),
    ("plan_aws_live_same", &["plan", "--aws-live", "aws/monday", "aws.fw"]),
    ("plan_aws_live_emit", &["plan", "--aws-live", "aws/monday", "--emit", "terraform", "aws.fw"]),
    ("plan_aws_live_missing", &["plan", "--aws-live", "aws-unsaid", "aws.fw"]),
    ("plan_aws_live_worn", &["plan", "--aws-live", "aws-worn", "--format", "json", "aws.fw"]),
    ("diff_aws_and_a_policy", &["diff", "aws/monday", "site.fw"]),
    ("check_crm", &["check", "policies/crm"]),
    ("compile_host", &["compile", "--host", "fw", "site.fw"]),
    ("compile_host_that_filters_nothing", &["compile", "--host", "web", "site.fw"]),
    ("check_a_name_and_a_way", &["check", "ways.fw"]),
    ("compile_findings", &["compile", "wrong.fw"]),
    ("compile_refuted", &["compile", "refuted.fw", "-o", "build"]),
    ("compile_refuted_json", &["compile", "--format", "json", "refuted.fw"]),
    ("verify_crm", &["verify", "policies/crm"]),
    ("verify_crm_with_one_more_server", &["verify", "policies/crm", "policies/crm/options/s4.fw"]),
    ("verify_refuted", &["verify", "refuted.fw"]),
    ("verify_refuted_by_neighbours", &["verify", "neighbours.fw"]),
    ("verify_refuted_by_a_date", &["verify", "lapsed.fw", "--at", "2027-07-01"]),
    ("verify_refuted_json", &["verify", "--format", "json", "refuted.fw"]),
    ("verify_json", &["verify", "--format", "json", "site.fw"]),
    ("verify_findings_json", &["verify", "--format", "json", "wrong.fw"]),
    ("verify_timings", &["verify", "--timings", "site.fw"]),
    ("verify_beside", &["verify", "containers.fw", "--host", "node", "--beside", "beside.nft"]),
    (
        "verify_beside_json",
        &["verify", "--format", "json", "containers.fw", "--host", "node", "--beside", "beside.nft"],
    ),
    ("verify_beside_nobody", &["verify", "containers.fw", "--beside", "beside.nft"]),
    ("verify_host_of_nothing", &["verify", "containers.fw", "--host", "node"]),
    ("verify_against_what_is_no_ruleset", &["verify", "site.fw", "--against", "site.fw"]),
    ("trace_accept", &["trace", "policies/crm", "tcp 80 from 10.1.1.11 to 10.1.2.2"]),
    ("trace_drop", &["trace", "site.fw", "tcp 22 from 10.1.1.11 to 10.1.2.2"]),
    ("trace_json", &["trace", "--format", "json", "site.fw", "tcp 80 from 10.1.1.11 to 10.1.2.2"]),
    (
        "trace_asks_nothing",
        &["trace", "policies/starter-firewall", "icmp echo-reply from 198.51.100.7 to 192.0.2.1"],
    ),
    (
        "trace_neighbour_discovery",
        &["trace", "policies/crm-dual", "icmpv6 135 from 2001:db8:1:5::52 to 2001:db8:1:5::51"],
    ),
    ("trace_to_itself", &["trace", "policies/starter-firewall", "tcp 8081 from 192.0.2.1 to 192.0.2.1"]),
    ("trace_no_way", &["trace", "site.fw", "tcp 80 from 10.1.1.11 to 192.0.2.1"]),
    ("trace_nobody_said_to_send", &["trace", "gate.fw", "tcp 22 from 10.4.1.10 to 10.4.2.31"]),
    ("trace_a_user", &["trace", "gate.fw", "tcp 22 from 10.4.1.10 to 10.4.2.31 uid 1001"]),
    ("trace_findings_json", &["trace", "--format", "json", "wrong.fw", "ping from 10.1.1.2 to 10.1.2.2"]),
    ("reach_people", &["reach", "gate.fw", "how can gate reach db"]),
    ("reach_nothing", &["reach", "gate.fw", "what can db reach tcp 7"]),
    ("reach_misspelled", &["reach", "gate.fw", "who can reach yy"]),
    ("reach_except", &["reach", "gate.fw", "who can reach anywhere except db"]),
    ("reach_findings_json", &["reach", "--format", "json", "wrong.fw", "who can reach web"]),
    ("matrix_misspelled", &["matrix", "gate.fw", "--service", "nosuch"]),
    ("matrix_nothing", &["matrix", "gate.fw", "--service", ""]),
    ("matrix_findings_json", &["matrix", "--format", "json", "wrong.fw"]),
    ("explain", &["explain", "which-leg"]),
    ("explain_json", &["explain", "--format", "json", "unknown-zone"]),
    ("trace_no_packet", &["trace", "some.fw", "http from lb to db"]),
    ("trace_names", &["trace", "some.fw", "tcp 80 from lb to db"]),
    ("bastion_prove", &["bastion", "prove", "policies/crm"]),
    ("bastion_prove_json", &["bastion", "prove", "--format", "json", "policies/starter-bastion"]),
    ("bastion_prove_round", &["bastion", "prove", "round.fw"]),
    ("bastion_render", &["bastion", "render", "--sshd", "9.8", "--host", "web", "policies/starter-bastion"]),
    ("bastion_render_too_old", &["bastion", "render", "--sshd", "8.4", "policies/starter-bastion"]),
    ("bastion_render_no_dates", &["bastion", "render", "--sshd", "9.0", "policies/starter-bastion"]),
    ("lab_findings", &["lab", "wrong.fw"]),
    ("lab_unproved", &["lab", "refuted.fw"]),
    ("lab_no_such_machine", &["lab", "site.fw", "--host", "nowhere"]),
    ("lab_wrong_probe", &["lab", "site.fw", "--probes", "wrong_probes.txt"]),
    ("lab_probe_of_another_state", &["lab", "site.fw", "--probes", "odd_probes.txt"]),
    ("lab_at_another_time", &["lab", "site.fw", "--at", "2027-06-30"]),
    ("lab_no_such_shell", &["lab", "site.fw", "--shell", "nowhere"]),
    ("lab_command_without_shell", &["lab", "site.fw", "--", "true"]),
    ("fmt_check", &["fmt", "--check", "some.fw", "untidy.fw"]),
    ("fmt_check_json", &["fmt", "--check", "--format", "json", "some.fw", "untidy.fw"]),
    ("fmt_writes", &["fmt", "some.fw", "untidy.fw"]),
    ("fmt_broken", &["fmt", "broken.fw", "untidy.fw"]),
    ("fmt_stdin_and_files", &["fmt", "-", "some.fw"]),
];

/// A step of a story.
pub(crate) enum Step {
    /// A command line.
    Fwc(&'static [&'static str]),
    /// The files of a folder, listed.
    Tree(&'static str),
    /// A hand that alters a file: what stood there, what stands there now.
    Edit(&'static str, &'static str, &'static str),
}

use Step::{Edit, Fwc, Tree};

const RULES: &str = "build/hosts/fw/ruleset.nft";

/// Snapshot name, and what happens in one folder, in order.
pub(crate) const STORIES: &[(&str, &[Step])] = &[
    (
        "story_build",
        &[
            Fwc(&["compile", "-o", "build", "site.fw"]),
            Tree("build"),
            Fwc(&["compile", "-o", "build", "site.fw"]),
            Fwc(&["compile", "--check", "build", "site.fw"]),
            Edit(RULES, "counter drop comment \"everything else\"", "counter accept"),
            Fwc(&["compile", "--check", "build", "site.fw"]),
            Fwc(&["compile", "--check", "build", "--format", "json", "site.fw"]),
            Fwc(&["verify", "site.fw", "--against", RULES]),
        ],
    ),
    (
        "story_of_a_check_after_a_comment",
        &[
            Fwc(&["compile", "-o", "build", "site.fw"]),
            Fwc(&["compile", "--check", "build", "--host", "fw", "site.fw"]),
            Edit("site.fw", "zone", "# A line more.\nzone"),
            Fwc(&["compile", "--check", "build", "site.fw"]),
        ],
    ),
    (
        "story_of_a_check_without_its_formats",
        &[
            Fwc(&["compile", "-o", "build", "--emit", "prefix-lists", "aws.fw"]),
            Fwc(&["compile", "--check", "build", "aws.fw"]),
            Fwc(&["compile", "--check", "build", "--emit", "prefix-lists", "aws.fw"]),
        ],
    ),
    (
        "story_of_dates_in_a_listing",
        &[
            Fwc(&["compile", "-o", "build", "dated.fw"]),
            // As nft lists it.
            Edit(RULES, "meta time < 1814400000", "meta time < \"2027-07-01 00:00:00\""),
            Fwc(&["verify", "dated.fw", "--against", RULES]),
            Fwc(&["verify", "dated.fw", "--against", RULES, "--utc"]),
            Edit(RULES, "2027-07-01 00", "2027-07-01 02"),
            Fwc(&["verify", "dated.fw", "--against", RULES, "--utc", "--at", "2027-07-01T01:00Z"]),
            Fwc(&["diff", "dated.fw", RULES, "--deny-widening", "--at", "2027-07-01T01:00Z"]),
            Fwc(&["diff", "dated.fw", RULES, "--deny-widening", "--at", "2027-07-01T01:00Z", "--utc"]),
            Fwc(&["verify", "dated.fw", "--utc"]),
            Fwc(&["diff", "dated.fw", "build", "--utc"]),
            Fwc(&["diff", RULES, RULES]),
        ],
    ),
    (
        "story_of_a_render_into_a_build",
        &[
            Fwc(&["compile", "-o", "build", "door.fw"]),
            Fwc(&["bastion", "render", "-o", "build", "door.fw"]),
            Fwc(&["compile", "--check", "build", "door.fw"]),
            Fwc(&["bastion", "render", "-o", "keys", "door.fw"]),
            Tree("keys"),
        ],
    ),
    (
        "story_of_fmt_with_a_file_that_is_not_there",
        &[
            Fwc(&["fmt", "untidy.fw", "none.fw"]),
            Fwc(&["fmt", "--check", "untidy.fw"]),
            Fwc(&["trace", "dated.fw", "tcp 22 from 10.1.1.9 to 10.1.2.9", "--at", "2027-06-30T23:59Z"]),
            Fwc(&["trace", "dated.fw", "tcp 22 from 10.1.1.9 to 10.1.2.9", "--at", "2027-07-01"]),
        ],
    ),
    ("story_build_json", &[Fwc(&["compile", "-o", "build", "--format", "json", "site.fw"])]),
    (
        "story_of_one_machine",
        &[
            Fwc(&["compile", "-o", "build", "--host", "lb", "policies/crm"]),
            Tree("build"),
            Fwc(&["verify", "policies/crm", "--against", "build/hosts/lb/ruleset.nft"]),
            Fwc(&["verify", "policies/crm", "--against", "build/hosts/lb/ruleset.nft", "--host", "lb"]),
            Fwc(&["verify", "policies/crm", "--against", "build/hosts/lb/ruleset.nft", "--host", "s1"]),
        ],
    ),
    (
        "story_of_a_machine_with_an_sshd_alone",
        &[
            Fwc(&["compile", "-o", "build", "door.fw"]),
            Fwc(&["compile", "-o", "one", "--host", "web", "door.fw"]),
            Tree("one"),
            Fwc(&["verify", "door.fw", "--against", "build/hosts/gate/ruleset.nft", "--host", "web"]),
            Fwc(&["verify", "door.fw", "--against", "build/hosts/gate/ruleset.nft"]),
        ],
    ),
    (
        "story_someone_elses_folder",
        &[Tree("elsewhere"), Fwc(&["compile", "-o", "elsewhere", "site.fw"]), Tree("elsewhere")],
    ),
    (
        "story_refuted_keeps_the_build",
        &[
            Fwc(&["compile", "site.fw"]),
            Fwc(&["compile", "refuted.fw"]),
            Fwc(&["compile", "--check", "build", "site.fw"]),
        ],
    ),
    (
        "story_fmt",
        &[
            Fwc(&["fmt", "--check", "untidy.fw"]),
            Fwc(&["fmt", "untidy.fw"]),
            Fwc(&["fmt", "--check", "untidy.fw"]),
        ],
    ),
];
