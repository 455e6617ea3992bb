//! What is told about a text that cannot be read: all of it, in its place, in the reader's words.

use crate::Text;

fn check(text: &str, findings: &[&str]) {
    assert_eq!(Text::new(text).findings(), findings, "in:\n{text}");
}

#[test]
fn one_run_tells_every_error() {
    check(
        "alow http from a to b\n\
         zone a { 10.0.0.0/40, 10.1.1.0/24 }\n\
         allow http form a to b\n\
         allow http from a\n    to b\n\
         deni any from a to b\n\
         allow http from to b\n\
         expect allow http from a to b\n",
        &[
            "1:1 unknown-statement `alow`: no statement starts with `alow` (did you mean `allow`?)",
            "2:10 bad-address `10.0.0.0/40`: `10.0.0.0/40` is no network: a prefix goes from 0 to 32 (write `10.1.1.1`, \
             `10.1.1.0/24`, `10.1.1.1-10.1.1.9` or `2001:db8::/32`)",
            "3:12 syntax `form`: expected `,` or `from` after `http`, found `form` (did you mean `from`?)",
            "6:1 unknown-statement `deni`: no statement starts with `deni` (did you mean `deny`?)",
            "7:17 syntax `to`: expected a place after `from`, found `to`",
            "8:1 syntax `expect`: `expect` stands inside of a `test` (write `test \"what it is about\" { expect … }`)",
        ],
    );
}

#[test]
fn each_line_of_a_block_is_told_by_itself() {
    check(
        "host s1 {\n    rout internet via lb.dmz\n    eth1 10.1.1.1 on web\n    eth2 10.1.1.1 in web\n    10.1.1.1 in web\n}\n\
         test \"t\" {\n    allow http from a to b\n    expect only http from a to b driect\n}\n\
         allow http from a to b { lim 10/second; limit 0/second; limit 5/sec; until 2027-02-30 }\n",
        &[
            "2:10 syntax `internet`: expected an address or `dynamic` after `rout`, found `internet` (did you mean `route` by \
             `rout`?)",
            "3:19 syntax `on`: expected `,`, `in` or `public` after `10.1.1.1`, found `on` (did you mean `in`?)",
            "5:5 syntax `10.1.1.1`: expected an interface, `route`, `log from`, `nftables`, …, found `10.1.1.1` (a leg starts \
             with its interface: `eth1 10.1.1.1 in …`)",
            "8:5 syntax `allow`: expected `expect`, found `allow` (in a `test`, write `expect allow …`)",
            "9:34 syntax `driect`: expected `,`, `as`, `direct`, `except` or the end after `b`, found `driect` (did you mean \
             `direct`?)",
            "11:26 syntax `lim`: expected `log`, `reject`, `limit`, `reason`, `owner`, `until`, `waive` or `break-glass`, found \
             `lim`",
            "11:47 number-out-of-range `0`: `0` is not a rate: it goes from 1 to 4294967295",
            "11:65 syntax `sec`: expected `second`, `minute`, `hour` or `day` after `5/`, found `sec`",
            "11:76 bad-date `2027-02-30`: `2027-02-30` is no date (write `2027-06-30`, that day included, or \
             `2027-06-30T18:00Z`)",
        ],
    );
}

#[test]
fn tokens_that_only_look_right_are_refused() {
    check(
        "service x = tcp 70000, tcp 9-1, icmp type 300, proto 256\n\
         host h { enp0s3123456789abc 10.1.1.1 in web; eth* dynamic in web }\n\
         host i = 10.1.1.300 in web\n\
         sshd h { idle 15x }\n",
        &[
            "1:17 number-out-of-range `70000`: `70000` is not a port: it goes from 0 to 65535",
            "1:43 number-out-of-range `300`: `300` is not an icmp type: it goes from 0 to 255",
            "1:54 number-out-of-range `256`: `256` is not a protocol: it goes from 0 to 255",
            "2:10 bad-interface-name `enp0s3123456789abc`: an interface has at most 15 characters, and `enp0s3123456789abc` \
             has 18 (a leg is written `eth1 10.1.1.1 in clients`)",
            "2:46 bad-interface-name `eth*`: the name of an interface holds no `*` (a leg is written `eth1 10.1.1.1 in \
             clients`)",
            "3:10 bad-address `10.1.1.300`: `10.1.1.300` is no address, and names start with a letter (write `10.1.1.1`, \
             `10.1.1.0/24`, `10.1.1.1-10.1.1.9` or `2001:db8::/32`)",
            "4:15 syntax `15x`: `15x` is no length of time (write `90s`, `15m`, `8h` or `1d`)",
        ],
    );
}

#[test]
fn names_are_ascii_lower_case_and_not_reserved() {
    check(
        "allow http from Web to b\nzone in { 10.0.0.0/8 }\nallow über from a to b\nallow tcp 80,443 from a to b\n",
        &[
            "1:17 syntax `Web`: expected a place after `from`, found `Web` (names are written in lower case)",
            "2:6 syntax `in`: expected a name after `zone`, found `in` (`in` is a reserved word, and names nothing)",
            "3:7 syntax `ü`: expected a service after `allow`, found `ü` (names are made of a-z, 0-9, `_` and `-`, and start \
             with a letter or `_`)",
            "4:14 syntax `443`: expected a service after `,`, found `443` (say the protocol of each port: `tcp 443`)",
        ],
    );
}

#[test]
fn an_open_string_or_brace_costs_one_statement() {
    check(
        "user u { key \"abc ; until 2027-01-01 }\nallow http from a to b\nhost x { eth0 10.0.0.1 in a\nzone y { 10.0.0.0/8 }\n\
         allow http from a to b }\n",
        &[
            "1:14 unterminated-string `\"abc ; until 2027-01-01 }`: a string that starts here does not end on its line (close \
             it with `\"`; a string has no line breaks and no escapes)",
            "3:8 syntax `{`: this `{` has no `}` (close the block before the next statement)",
            "5:24 syntax `}`: expected `,`, `as`, `except`, a nat clause, `{` or the end after `b`, found `}`",
        ],
    );
}

#[test]
fn what_is_not_seen_is_refused_everywhere() {
    let hidden = "remove it: it is not seen, and may make a line look like another";
    check(
        "zone a { 10.0.0.0/8 }  # a \u{202e} comment\nzone b { 10.\u{0}0.0.0/8 }\ntest \"x\u{200b}y\" { }\n",
        &[
            &format!(
                "1:28 control-character `\u{202e}`: the character U+202E, a mark that turns the direction of writing, may not stand in a policy ({hidden})"
            ),
            &format!(
                "2:13 control-character `\u{0}`: the character U+0000, NUL, may not stand in a policy ({hidden})"
            ),
            &format!(
                "3:8 control-character `\u{200b}`: the character U+200B, a zero-width space, may not stand in a policy ({hidden})"
            ),
        ],
    );
}

#[test]
fn deny_translates_nothing_and_there_is_one_clause() {
    check(
        "deny http from a to b masquerade\nallow http from a to b dnat to c masquerade\n",
        &[
            "1:23 syntax `masquerade`: a `deny` translates nothing (leave the clause away)",
            "2:34 syntax `masquerade`: a statement has one nat clause, and this is a second (leave one away; where both ends are on one side of the firewall, `dnat to … hairpin` does both)",
        ],
    );
}

/// What can be read of a statement with an error is in the tree: the next pass knows its name.
#[test]
fn an_error_in_a_block_does_not_undeclare_its_name() {
    let mut sources = fwc::source::SourceMap::default();
    let file =
        sources.add("", "zone a { 10.0.0.0/40, 10.1.0.0/16 }\nhost b { what is this; eth0 10.1.0.1 in a }\n");
    let tree = fwc::syntax::parse(&sources, file, &mut fwc::diag::Findings::default());
    assert_eq!(tree.statements.len(), 2);
}

#[test]
fn spans_are_those_of_the_text() {
    use fwc::syntax::ast::StatementKind;
    let mut sources = fwc::source::SourceMap::default();
    let text = "# é\r\nallow http,  # why\r\n    ssh from a to b.c  as ana { log }  # end\r\n";
    let file = sources.add("", text);
    let tree = fwc::syntax::parse(&sources, file, &mut fwc::diag::Findings::default());
    let [statement] = tree.statements.as_slice() else { panic!("one statement") };
    let StatementKind::Access(access) = &statement.kind else { panic!("an allow") };
    assert_eq!(sources.words(statement.span), "allow http,  # why\r\n    ssh from a to b.c  as ana { log }");
    assert_eq!(sources.words(access.sentence), "allow http,  # why\r\n    ssh from a to b.c  as ana");
    assert_eq!(sources.words(access.to.span), "b.c");
    assert_eq!(sources.words(access.people[0].span), "ana");
}
