//! `fwc explain`: the page of a finding's code.

use serde_json::json;

use crate::diag::code::ALL;

use super::options::Format;
use super::{Console, Exit, Failure, render};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.explain/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A code, as in `error[unknown-zone]`; every code where none is named
    code: Option<String>,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some(wanted) = &args.code else {
        console.data(&list(args.format));
        return Ok(Exit::Fine);
    };
    let wanted =
        wanted.trim().trim_start_matches("error").trim_start_matches("warning").trim_matches(['[', ']']);
    let page = ALL.iter().find(|(code, _)| code.as_str() == wanted);
    let Some((code, page)) = page else {
        let failure = Failure::new(format!("no finding has the code `{wanted}`"));
        return Err(match nearest(wanted) {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None => failure.help("`fwc explain` lists every code"),
        });
    };
    console.data(&match args.format {
        Format::Text => format!("{}\n", page.trim_end()),
        Format::Json => render::document(FORMAT, json!({ "code": code.as_str(), "page": page })),
    });
    Ok(Exit::Fine)
}

fn list(format: Format) -> String {
    match format {
        Format::Text => {
            let width = ALL.iter().map(|(code, _)| code.as_str().len()).max().unwrap_or(0);
            let line = |(code, page): &(crate::diag::Code, &str)| {
                format!("{:width$}  {}", code.as_str(), first_sentence(page)).trim_end().to_owned() + "\n"
            };
            sorted().iter().map(line).collect()
        }
        Format::Json => {
            let codes: Vec<_> = sorted()
                .iter()
                .map(|(code, page)| json!({ "code": code.as_str(), "means": first_sentence(page) }))
                .collect();
            render::document(FORMAT, json!({ "codes": codes }))
        }
    }
}

fn sorted() -> Vec<(crate::diag::Code, &'static str)> {
    let mut all = ALL.to_vec();
    all.sort_by_key(|(code, _)| code.as_str());
    all
}

/// The first line of a page that is no heading.
fn first_sentence(page: &str) -> &str {
    let line = page.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    line.map_or("", |line| line.split_once(". ").map_or(line, |(first, _)| first).trim_end_matches('.'))
}

fn nearest(wanted: &str) -> Option<&'static str> {
    let scored = ALL.iter().map(|(code, _)| (strsim::jaro_winkler(wanted, code.as_str()), code.as_str()));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_code_finds_its_neighbour() {
        assert_eq!(nearest("unknown-zoen"), Some("unknown-zone"));
        assert_eq!(nearest("xyz"), None);
    }

    #[test]
    fn a_page_starts_with_what_it_means() {
        assert_eq!(
            first_sentence("# code\n\n## What it means\n\nA name is not declared. More.\n"),
            "A name is not declared"
        );
        assert_eq!(first_sentence("# code\n"), "");
    }
}
