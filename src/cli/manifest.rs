//! `manifest.json`: what a build is of, what it holds and what was proved.
//!
//! No time of day, no duration, no path of the machine: the same policy gives the same bytes, wherever it lies. The
//! policy's digest is over the contents alone, in the order of their digests, so neither the files' names nor the
//! order they were named in count.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::apply::build::{FORMAT, digest};
use crate::compile::{Compiled, ansible};
use crate::model::HostId;
use crate::source::SourceMap;

use super::output::{Files, is_inside};

/// Its name in a build.
pub(super) const NAME: &str = "manifest.json";

/// The files of a build with their manifest: of every machine, or of one.
pub(super) fn build<'c>(
    compiled: &'c Compiled,
    sources: &SourceMap,
    set: &[(String, String)],
    only: Option<HostId>,
) -> Files<'c> {
    let mut files = Files::new();
    for host in compiled.hosts.iter().filter(|host| only.is_none_or(|only| only == host.host)) {
        for (name, text) in &host.files {
            files.insert(format!("hosts/{}/{name}", host.name), Cow::Borrowed(text));
        }
    }
    if only.is_none() {
        for (name, text) in &compiled.groups.files {
            files.insert(format!("aws/{name}"), Cow::Borrowed(text));
        }
    }
    // A fleet is every machine; of one alone there is nothing to roll out.
    if only.is_none() && !compiled.hosts.is_empty() {
        let fleet = ansible::files(&compiled.site, &compiled.hosts);
        files.extend(fleet.into_iter().map(|(name, text)| (name, Cow::Owned(text))));
    }
    let digests: BTreeMap<&String, String> =
        files.iter().map(|(name, text)| (name, digest(text.as_bytes()))).collect();
    let report = &compiled.report;
    let manifest = json!({
        "format": FORMAT,
        "fwc": env!("CARGO_PKG_VERSION"),
        "policy": policy_digest(sources),
        "set": set.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        "files": digests,
        "proved": {
            "points": report.points.iter().map(|proof| &proof.place).collect::<Vec<_>>(),
            "expectations": report.expects.iter().map(|proof| &proof.words).collect::<Vec<_>>(),
            "unasked": report.unasked.iter().map(|proof| &proof.claim).collect::<Vec<_>>(),
        },
    });
    files.insert(NAME.to_owned(), Cow::Owned(format!("{manifest:#}\n")));
    files
}

/// The files that a manifest of ours lists, itself included. None where the text is no such manifest.
pub(super) fn listed(text: &str) -> Option<BTreeSet<String>> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.get("fwc")?.as_str()?;
    let files = value.get("files")?.as_object()?;
    let mut names: BTreeSet<String> = files.keys().filter(|name| is_inside(name)).cloned().collect();
    names.insert(NAME.to_owned());
    Some(names)
}

/// A build of another format than this fwc reads, in the words of its manifest.
pub(super) struct OtherFormat {
    /// Its format, or that it says none.
    pub(super) told: String,
    /// Which fwc wrote it.
    pub(super) fwc: String,
}

/// What a manifest of ours says of its build, where nothing of it may be read as what it would mean here.
pub(super) fn other_format(text: &str) -> Option<OtherFormat> {
    let value: Value = serde_json::from_str(text).ok()?;
    let format = value.get("format");
    if format.and_then(Value::as_u64) == Some(FORMAT) {
        return None;
    }
    let told = format.map_or_else(|| "none".to_owned(), Value::to_string);
    Some(OtherFormat { told, fwc: value.get("fwc")?.as_str()?.to_owned() })
}

/// Whether two texts of one file of a build differ in where the policy's statements stand alone: in the lines that
/// `origins.json` names, and in the manifest in its digest and the policy's.
pub(super) fn is_placed(name: &str, one: &str, other: &str) -> bool {
    const ORIGINS: &str = "/origins.json";
    let without = |text: &str| {
        let mut value: Value = serde_json::from_str(text).ok()?;
        let whole = value.as_object_mut()?;
        whole.remove("policy");
        whole.get_mut("files")?.as_object_mut()?.retain(|name, _| !name.ends_with(ORIGINS));
        Some(value)
    };
    name.ends_with(ORIGINS) || name == NAME && without(one).is_some_and(|one| Some(one) == without(other))
}

/// SHA-256 over the digests of the texts, ascending.
fn policy_digest(sources: &SourceMap) -> String {
    let mut digests: Vec<[u8; 32]> =
        sources.iter().map(|(_, file)| Sha256::digest(&file.text).into()).collect();
    digests.sort_unstable();
    digest(digests.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::HostArtifacts;
    use crate::model::Site;
    use crate::verify::Report;

    fn compiled() -> Compiled {
        let host = |n: u32, name: &str| HostArtifacts {
            host: HostId(n),
            name: name.to_owned(),
            files: vec![("ruleset.nft".to_owned(), format!("table {name}\n"))],
        };
        Compiled {
            artifacts: crate::verify::Artifacts::new(),
            site: Site::default(),
            hosts: vec![host(0, "fw"), host(1, "lb")],
            groups: crate::compile::Groups::default(),
            report: Report::default(),
        }
    }

    fn sources(files: &[(&str, &str)]) -> SourceMap {
        let mut sources = SourceMap::default();
        for (name, text) in files {
            sources.add(*name, *text);
        }
        sources
    }

    #[test]
    fn names_and_order_of_files_do_not_count() {
        let compiled = compiled();
        let one = build(&compiled, &sources(&[("a.fw", "1"), ("b.fw", "2")]), &[], None);
        let other = build(&compiled, &sources(&[("x/y.fw", "2"), ("z.fw", "1")]), &[], None);
        assert_eq!(one, other);
        let changed = build(&compiled, &sources(&[("a.fw", "12"), ("b.fw", "")]), &[], None);
        assert_ne!(one, changed);
    }

    #[test]
    fn a_manifest_lists_what_is_there() {
        let compiled = compiled();
        let files = build(&compiled, &sources(&[]), &[("a".to_owned(), "1".to_owned())], None);
        let names: Vec<&String> = files.keys().collect();
        let names: Vec<&String> = names.into_iter().filter(|name| !name.starts_with("ansible/")).collect();
        assert_eq!(names, ["hosts/fw/ruleset.nft", "hosts/lb/ruleset.nft", NAME]);
        let listed = listed(&files[NAME]).unwrap();
        assert!(listed.iter().eq(files.keys()));
        let one = build(&compiled, &sources(&[]), &[], Some(HostId(1)));
        assert_eq!(one.len(), 2);
    }

    #[test]
    fn what_is_no_manifest_of_ours_lists_nothing() {
        for text in ["", "{}", "[1]", "{\"files\":{}}", "{\"fwc\":1,\"files\":{}}"] {
            assert_eq!(listed(text), None, "{text}");
        }
        let sly = r#"{"fwc":"0","files":{"../x":"","/etc/passwd":"","ok":"","a/../b":""}}"#;
        let names: Vec<String> = listed(sly).unwrap().into_iter().collect();
        assert_eq!(names, [NAME, "ok"]);
    }
}
