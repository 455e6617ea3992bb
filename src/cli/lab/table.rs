//! The three-way table, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::model::{Expect, Site, Test};

use super::super::clean::clean_line;
use super::super::render::number;
use super::answers::{Answer, Reply, Row};
use super::questions::Source;
use super::routes::Routes;

/// A line of the table: the question, the answers, and what is wrong with them.
type Line = ([String; 4], String);

/// For people: a line for each probe, one for each expectation with how many packets met which end, and in full every
/// packet on which the three differ or that met another end than it was said to.
/// `untried` are the places of the expectations of which there is no packet that could be sent.
pub(super) fn text(site: &Site, rows: &[Row], untried: &[usize], routes: &Routes) -> String {
    let mut sections: Vec<(String, Vec<Line>)> = Vec::new();
    let mut put = |title: String, lines: Vec<Line>| match sections.last_mut() {
        Some((last, held)) if *last == title => held.extend(lines),
        Some(_) | None => sections.push((title, lines)),
    };
    for row in rows {
        if let Source::Probe { section } = &row.question.source {
            put(section.clone(), vec![line(row)]);
        }
    }
    let mut of_expect: BTreeMap<usize, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if let Source::Expect(at) = row.question.source {
            of_expect.entry(at).or_default().push(row);
        }
    }
    let expects = site.tests.iter().flat_map(|test| test.expects.iter().map(move |expect| (test, expect)));
    for (at, (test, expect)) in expects.enumerate() {
        let title = format!("test \"{}\"", test.title);
        if let Some(rows) = of_expect.get(&at) {
            put(title, summed(expect, rows));
        } else if untried.contains(&at) {
            let nothing = [expect.words.clone(), String::new(), String::new(), String::new()];
            put(title, vec![(nothing, "<- no packet of it is sent in the lab".to_owned())]);
        }
    }
    let head = ["", "policy", "simulator", "kernel"].map(str::to_owned);
    let mut text = laid_out(&head, &sections);
    for wrong in &routes.wrong {
        let _ = writeln!(text, "route    {}", clean_line(wrong));
    }
    let _ = writeln!(text, "{}", summary(site, rows, untried, routes));
    text
}

fn laid_out(head: &[String; 4], sections: &[(String, Vec<Line>)]) -> String {
    let cells = sections.iter().flat_map(|(_, lines)| lines).map(|(cells, _)| cells).chain([head]);
    let mut widths = [0usize; 4];
    for row in cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let written = |cells: &[String; 4], note: &str| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(line, "{:width$}  ", clean_line(cell));
        }
        line.push_str(note);
        format!("{}\n", line.trim_end())
    };
    let mut text = written(head, "");
    for (title, lines) in sections {
        if !title.is_empty() {
            let _ = writeln!(text, "# {}", clean_line(title));
        }
        text.extend(lines.iter().map(|(cells, note)| written(cells, note)));
    }
    text
}

fn line(row: &Row) -> Line {
    let [policy, simulator, mut kernel] = [&row.policy, &row.simulator, &row.kernel].map(Answer::text);
    if let Some(Reply::Lost(place)) = &row.reply {
        kernel.push_str(&format!(", its reply stopped at {place}"));
    }
    if let Some(Reply::Cut(place)) = &row.reply {
        kernel.push_str(&format!(", what follows its reply stopped at {place}"));
    }
    ([row.question.text.clone(), policy, simulator, kernel], note(row))
}

/// What is wrong with a row; empty where nothing is.
fn note(row: &Row) -> String {
    match (row.agree(), row.as_wanted(), row.wish()) {
        (true, true, _) => String::new(),
        (false, true, _) => "<- differ".to_owned(),
        (agree, false, wish) => {
            let differ = if agree { "" } else { "differ, and " };
            format!("<- {differ}wanted: {}", wish.unwrap_or("?"))
        }
    }
}

/// An expectation in one line, and its packets that are not as they should be.
fn summed(expect: &Expect, rows: &[&Row]) -> Vec<Line> {
    let counted = |of: fn(&Row) -> &Answer| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            let count = counts.entry(of(row).word).or_default();
            *count = count.saturating_add(1);
        }
        counts.iter().map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
    };
    let sums = [counted(|row| &row.policy), counted(|row| &row.simulator), counted(|row| &row.kernel)];
    let [policy, simulator, kernel] = sums;
    let mut lines = vec![([expect.words.clone(), policy, simulator, kernel], String::new())];
    lines.extend(rows.iter().filter(|row| !row.agree() || !row.as_wanted()).map(|row| {
        let ([question, policy, simulator, kernel], note) = line(row);
        ([format!("  {question}"), policy, simulator, kernel], note)
    }));
    lines
}

/// `52 probes, 1400 packets of 32 expectations, 380 routes: policy, simulator and kernel agree`
fn summary(site: &Site, rows: &[Row], untried: &[usize], routes: &Routes) -> String {
    let probes = rows.iter().filter(|row| matches!(row.question.source, Source::Probe { .. })).count();
    let expects: usize = site.tests.iter().map(|test: &Test| test.expects.len()).sum();
    let packets = rows.len().saturating_sub(probes);
    let differ = rows.iter().filter(|row| !row.agree()).count();
    let unwanted = rows.iter().filter(|row| !row.as_wanted()).count();
    let never = rows.iter().filter(|row| row.kernel.word == "never").count();
    let mut asked = Vec::new();
    if probes > 0 {
        asked.push(number(probes, "probe"));
    }
    if packets > 0 {
        asked.push(format!("{} of {}", number(packets, "packet"), number(expects, "expectation")));
    }
    let replies = rows.iter().filter(|row| row.reply.is_some()).count();
    if replies > 0 {
        asked.push(if replies == 1 { "1 reply".to_owned() } else { format!("{replies} replies") });
    }
    asked.push(number(routes.asked, "route"));
    let mut found = Vec::new();
    if differ > 0 {
        found.push(format!("policy, simulator and kernel differ on {differ}"));
    } else if rows.iter().all(Row::asked) {
        found.push("policy, simulator and kernel agree".to_owned());
    } else {
        let all = rows.iter().filter(|row| row.asked()).count();
        found.push(format!("policy, simulator and kernel agree on {all} of {}", rows.len()));
    }
    if unwanted > 0 {
        found.push(format!("{} not as wanted", number(unwanted, "answer")));
    }
    if !routes.wrong.is_empty() {
        found.push(format!("{} that the kernel does not have", number(routes.wrong.len(), "route")));
    }
    for (word, why) in [
        (
            "emulated",
            "that IPVS would send on, which the lab has not: each hook behind it was asked by itself",
        ),
        ("unasked", "by interfaces that the lab has not"),
        ("unsent", "that cannot be sent here"),
        ("group", "not sent: a security group stops them, and there is none in the lab"),
    ] {
        let count = rows.iter().filter(|row| row.kernel.word == word).count();
        if count > 0 {
            found.push(format!("{count} {why}"));
        }
    }
    if never > 0 {
        found.push(format!("{never} that no kernel brings there"));
    }
    let over = rows.iter().filter(|row| row.over_a_limit()).count();
    if over > 0 {
        found.push(format!("{over} over a limit"));
    }
    if !untried.is_empty() {
        found.push(format!("{} of which no packet was sent", number(untried.len(), "expectation")));
    }
    format!("{}: {}", asked.join(", "), found.join("; "))
}

/// For programs: every packet.
pub(super) fn as_json(site: &Site, rows: &[Row], untried: &[usize], routes: &Routes) -> Value {
    let expects: Vec<(&Test, &Expect)> =
        site.tests.iter().flat_map(|test| test.expects.iter().map(move |expect| (test, expect))).collect();
    let answer = |answer: &Answer| {
        let place = (!answer.place.is_empty()).then_some(&answer.place);
        json!({ "verdict": answer.word, "at": place, "sent": answer.as_sent.trim() })
    };
    let row = |row: &Row| {
        let (kind, of) = match &row.question.source {
            Source::Probe { section } => ("probe", section.clone()),
            Source::Expect(at) => {
                ("expect", expects.get(*at).map(|(_, expect)| expect.words.clone()).unwrap_or_default())
            }
        };
        json!({
            "kind": kind,
            "of": of,
            "packet": row.question.text,
            "wanted": row.wish(),
            "policy": answer(&row.policy),
            "simulator": answer(&row.simulator),
            "kernel": answer(&row.kernel),
            "agree": row.agree(),
            "as_wanted": row.as_wanted(),
            "over_a_limit": row.over_a_limit(),
            "asked": row.asked(),
            "reply": match &row.reply {
                None => Value::Null,
                Some(Reply::Back) => json!({ "back": true }),
                Some(Reply::Lost(place)) => json!({ "back": false, "at": place }),
                Some(Reply::Cut(place)) => json!({ "back": true, "next_at": place }),
            },
        })
    };
    json!({
        "packets": rows.iter().map(row).collect::<Vec<_>>(),
        "untried": untried.iter().filter_map(|at| expects.get(*at)).map(|(_, expect)| &expect.words).collect::<Vec<_>>(),
        "routes": { "machines": routes.machines, "asked": routes.asked, "wrong": routes.wrong },
        "fine": fine(rows, routes),
        "summary": summary(site, rows, untried, routes),
    })
}

/// Whether all three agree, everywhere, and on what was said.
pub(super) fn fine(rows: &[Row], routes: &Routes) -> bool {
    routes.wrong.is_empty() && rows.iter().all(|row| row.agree() && row.as_wanted())
}
