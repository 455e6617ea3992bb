//! Arguments that several commands share, as typed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::compile;
use crate::verify::HostRules;

/// A policy and what it depends on besides its text.
#[derive(Clone, Debug, Args)]
pub(super) struct PolicyArgs {
    /// Policy files, or folders of them; `policy.fw` where none is named
    #[arg(value_name = "POLICY")]
    pub(super) policies: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) depends: Depends,
}

/// What a run depends on besides the policy's text.
#[derive(Clone, Debug, Args)]
pub(super) struct Depends {
    /// Give a variable of the policy its value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) set: Vec<(String, String)>,

    /// The time to prove for, UTC: 2027-06-30 or 2027-06-30T18:00Z; now where not said
    #[arg(long, value_name = "TIME", value_parser = super::instant::instant)]
    pub(super) at: Option<u64>,

    /// Print on stderr how long each stage took
    #[arg(long)]
    pub(super) timings: bool,
}

/// How a listing is to be read.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Listed {
    /// Take the dates and times of day of a listing (`meta time`, `meta hour`) as UTC, as `TZ=UTC nft list ruleset` prints
    /// them; without it what they decide is not known, nor whether the same words in two listings are the same time
    #[arg(long)]
    pub(super) utc: bool,
}

impl Listed {
    /// The ruleset as it is to be understood.
    pub(super) fn understood(self, rules: HostRules) -> HostRules {
        if self.utc { rules.in_utc() } else { rules }
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

impl Format {
    /// An answer for programs, where one is wanted.
    pub(super) fn json<A>(self, answer: A) -> Option<A> {
        (self == Self::Json).then_some(answer)
    }
}

/// What is written of security groups beside EC2's own JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Emit {
    /// aws/main.tf.json, for Terraform
    Terraform,
    /// aws/template.json, for CloudFormation
    Cloudformation,
    /// aws/prefix-lists.json: the policy's lists as managed prefix lists
    PrefixLists,
    /// aws/nacl.json: a network ACL for each subnet, stateless and coarser than groups
    Nacl,
}

impl Emit {
    /// Those whose files are among these of a build.
    pub(super) fn among(files: &BTreeSet<String>) -> Vec<Self> {
        let there = |emit: &&Self| files.contains(emit.file());
        Self::value_variants().iter().filter(there).copied().collect()
    }

    /// The file that it writes.
    fn file(self) -> &'static str {
        match self {
            Self::Terraform => "aws/main.tf.json",
            Self::Cloudformation => "aws/template.json",
            Self::PrefixLists => "aws/prefix-lists.json",
            Self::Nacl => "aws/nacl.json",
        }
    }

    /// As it is typed.
    pub(super) fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The formats of the compiler.
    pub(super) fn formats(all: &[Self]) -> BTreeSet<compile::Format> {
        let one = |emit: &Self| match emit {
            Self::Terraform => compile::Format::Terraform,
            Self::Cloudformation => compile::Format::Cloudformation,
            Self::PrefixLists => compile::Format::PrefixLists,
            Self::Nacl => compile::Format::Nacl,
        };
        all.iter().map(one).collect()
    }
}

/// How findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FindingsFormat {
    /// For people, with the lines that are meant
    #[default]
    Text,
    /// One line a finding, for editors
    Short,
    /// For programs
    Json,
}

/// `NAME=VALUE`
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("say NAME=VALUE".to_owned()),
    }
}
