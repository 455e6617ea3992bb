//! Tests of the rendering of findings.

use proptest::prelude::*;

use super::*;
use crate::diag::code::UNKNOWN_ZONE;

const PLAIN: Look = Look { colour: false, width: 110 };

fn span(start: u32, end: u32) -> Span {
    Span { file: FileId(0), start, end }
}

fn map(text: &str) -> SourceMap {
    let mut sources = SourceMap::default();
    sources.add("policy.fw", text);
    sources
}

fn of(diagnostic: Diagnostic) -> Findings {
    let mut all = Findings::default();
    all.push(diagnostic);
    all
}

#[test]
fn the_full_form_is_rustcs() {
    let text = "zone db { 10.0.0.0/24 }\n\nallow http from lan to dbb\n";
    let at = u32::try_from(text.find("dbb").unwrap()).unwrap();
    let finding = Diagnostic::error(UNKNOWN_ZONE, span(at, at + 3), "unknown zone `dbb`")
        .label("no zone has this name")
        .also(span(5, 7), "this one is near")
        .help("did you mean `db`?")
        .fix(span(at, at + 3), "db");
    let shown = findings(&of(finding), &map(text), FindingsFormat::Text, PLAIN);
    let want = "\
error[unknown-zone]: unknown zone `dbb`
 --> policy.fw:3:24
  |
1 | zone db { 10.0.0.0/24 }
  |      -- this one is near
2 |
3 | allow http from lan to dbb
  |                        ^^^ no zone has this name
  |
  = help: did you mean `db`?
  |
3 - allow http from lan to dbb
3 + allow http from lan to db
  |

1 error
";
    let trimmed: String = shown.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    assert_eq!(trimmed, want);
}

#[test]
fn the_short_form_is_one_line_a_finding() {
    let mut all = of(Diagnostic::warning(UNKNOWN_ZONE, span(4, 5), "second"));
    all.push(Diagnostic::error(UNKNOWN_ZONE, span(0, 1), "first\u{1b}[2J"));
    all.push(Diagnostic::global(UNKNOWN_ZONE, "nowhere"));
    let shown = findings(&all, &map("a\n\tbc"), FindingsFormat::Short, PLAIN);
    let want = "\
error[unknown-zone]: nowhere
policy.fw:1:1: error[unknown-zone]: first\u{fffd}[2J
policy.fw:2:3: warning[unknown-zone]: second
";
    assert_eq!(shown, want);
    assert_eq!(counts(&all).unwrap(), "2 errors, 1 warning");
    assert_eq!(counts(&Findings::default()), None);
}

#[test]
fn json_has_places_help_and_fix() {
    let finding =
        Diagnostic::error(UNKNOWN_ZONE, span(2, 4), "m").also(span(0, 1), "r").help("h").fix(span(2, 4), "x");
    let shown = findings(&of(finding), &map("a\nbc\n"), FindingsFormat::Json, PLAIN);
    let value: Value = serde_json::from_str(&shown).unwrap();
    let one = &value["findings"][0];
    assert_eq!((&one["file"], &one["line"], &one["column"]), (&json!("policy.fw"), &json!(2), &json!(1)));
    assert_eq!(one["end"], json!({ "line": 2, "column": 3 }));
    assert_eq!(one["fix"]["text"], "x");
    assert_eq!(one["related"][0]["text"], "r");
    assert_eq!(value["errors"], 1);
}

#[test]
fn odd_texts_and_spans_render() {
    for (text, start, end) in [
        ("", 0, 0),
        ("", 7, 90),
        ("a", 1, 1),
        ("a\n", 2, 2),
        ("a\r\nb\r\n", 1, 3),
        ("a\r\nb\r\n", 2, 2),
        ("\t\tb\tc", 2, 4),
        ("日本語 ok\n", 3, 6),
        ("日本語 ok\n", 4, 5),
        ("a\nb\nc\nd", 0, 7),
        ("x\u{1b}[31my\u{202e}z", 1, 9),
        ("\n\n\n", 3, 3),
        ("\r\r\n", 1, 1),
        ("e\u{301}\u{200d}👩‍👩‍👧 x", 0, 20),
    ] {
        let finding = Diagnostic::error(UNKNOWN_ZONE, span(start, end), "m")
            .label("l")
            .fix(span(start, end), "new\ntext");
        for look in [PLAIN, Look { colour: true, width: 20 }] {
            let shown = findings(&of(finding.clone()), &map(text), FindingsFormat::Text, look);
            assert!(shown.contains("policy.fw:"), "{text:?} {start}..{end}: {shown}");
            assert!(!shown.contains('\u{202e}'));
        }
        findings(&of(finding.clone()), &map(text), FindingsFormat::Json, PLAIN);
        findings(&of(finding), &map(text), FindingsFormat::Short, PLAIN);
    }
}

#[test]
fn carets_stand_under_what_they_mean_behind_tabs() {
    let of_one = || of(Diagnostic::error(UNKNOWN_ZONE, span(4, 6), "m"));
    let shown = findings(&of_one(), &map("\ta\t bb\tc"), FindingsFormat::Text, PLAIN);
    let lines: Vec<&str> = shown.lines().collect();
    let column = |sign: &str| lines.iter().find_map(|line| line.find(sign)).unwrap();
    assert!(!shown.contains('\t'), "{shown}");
    assert_eq!(column("bb"), column("^^"), "{shown}");
    let short = findings(&of_one(), &map("\ta\t bb\tc"), FindingsFormat::Short, PLAIN);
    assert!(shown.contains("policy.fw:1:5") && short.contains("policy.fw:1:5"), "{shown}{short}");
}

#[test]
fn many_findings_in_a_long_file_take_no_time() {
    let text = "allow http from lan to db\n".repeat(20_000);
    let mut all = Findings::default();
    for n in 0..1000u32 {
        all.push(Diagnostic::error(UNKNOWN_ZONE, span(n * 500, n * 500 + 3), "m"));
    }
    let started = std::time::Instant::now();
    let shown = findings(&all, &map(&text), FindingsFormat::Text, PLAIN);
    assert!(shown.ends_with("1000 errors\n"));
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    let line = "x".repeat(1_000_000);
    findings(
        &of(Diagnostic::error(UNKNOWN_ZONE, span(900_000, 900_003), "m")),
        &map(&line),
        FindingsFormat::Text,
        PLAIN,
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the text and wherever the spans, also over several lines and past the end.
    #[test]
    fn spans_anywhere_render(
        text in "[a-c \t\r\n日é👩\u{301}\u{200d}\u{7}\u{202e}]{0,120}",
        places in prop::collection::vec((0u32..200, 0u32..200), 1..5),
        width in 0usize..200,
    ) {
        let mut labels = places.iter().map(|&(a, b)| span(a, b));
        let first = labels.next().unwrap();
        let mut finding = Diagnostic::error(UNKNOWN_ZONE, first, "m").label("l").fix(first, "x\ny");
        for other in labels {
            finding = finding.also(other, "here");
        }
        let all = of(finding);
        for format in [FindingsFormat::Text, FindingsFormat::Short, FindingsFormat::Json] {
            let shown = findings(&all, &map(&text), format, Look { colour: false, width });
            let harmless = !shown.contains(['\u{7}', '\u{202e}']);
            prop_assert!(harmless);
        }
    }
}

#[test]
fn of_very_many_warnings_the_first_are_shown_with_their_lines() {
    let text = "x\n".repeat(IN_FULL + 3);
    let mut all = Findings::default();
    let last = u32::try_from(IN_FULL).unwrap() + 2;
    for line in 0..last {
        all.push(Diagnostic::warning(UNKNOWN_ZONE, span(2 * line, 2 * line + 1), "odd"));
    }
    all.push(Diagnostic::error(UNKNOWN_ZONE, span(2 * last, 2 * last + 1), "wrong"));
    let shown = findings(&all, &map(&text), FindingsFormat::Text, PLAIN);
    assert_eq!(shown.matches("-->").count(), IN_FULL + 1, "and every error");
    let (_, end) = shown.rsplit_once("\n\npolicy.fw:1001:1: warning").unwrap();
    let want = "\
[unknown-zone]: odd
policy.fw:1002:1: warning[unknown-zone]: odd
error[unknown-zone]: wrong
    --> policy.fw:1003:1
     |
1003 | x
     | ^

2 warnings on one line each, behind the first 1000
1 error, 1002 warnings
";
    assert!(end.starts_with(want.split_once("\n     |").unwrap().0), "{end}");
    assert!(end.ends_with("behind the first 1000\n1 error, 1002 warnings\n"), "{end}");
}

/// Shown with each of its findings, a line would be printed by the square of its length.
#[test]
fn a_long_line_is_shown_a_few_times() {
    let word = "allow tcp 9-1; ";
    let shown = |times: usize| {
        let text = word.repeat(times);
        let mut all = Findings::default();
        for at in 0..times {
            let start = u32::try_from(at * word.len()).unwrap();
            let span = span(start + 10, start + 13);
            all.push(Diagnostic::error(UNKNOWN_ZONE, span, "backwards").fix(span, "1-9"));
        }
        findings(&all, &map(&text), FindingsFormat::Text, PLAIN)
    };
    let (few, many) = (shown(400), shown(4000));
    assert!(many.len() < 11 * few.len(), "{} and {}", few.len(), many.len());
    let (excerpts, lines) = (many.matches(" --> ").count(), many.matches(": error[").count());
    assert_eq!((excerpts, lines), (10, 3990));
    assert!(
        many.contains("3990 findings on one line each, behind 10 others of the same long line\n4000 errors"),
        "{many}"
    );
    // Short lines as ever, with what mends them.
    assert_eq!(shown(20).matches(" + ").count(), 20);
}
