//! What is compared: one side as its machines, with their rulesets and sshds, and its security groups.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use crate::apply::build::FORMAT;
use crate::model::Site;
use crate::target::sshd::artifact::Server;
use crate::target::sshd::read;
use crate::target::sysctl;
use crate::target::sysctl::artifact::Settings;
use crate::verify::HostRules;
use crate::verify::diff::Lines;

use super::super::check::unanswered;
use super::super::clean::clean_line;
use super::super::engine::LISTS;
use super::super::files::listing_of;
use super::super::kind::no_ruleset;
use super::super::manifest;
use super::super::options::{Depends, Format, Listed, PolicyArgs};
use super::super::request::Request;
use super::super::{Console, Failure};
use super::Named;
use super::groups::Cloud;

/// What is compared of a machine's folder, and where the keys of its accounts stand.
const COMPARED: [&str; 4] = ["ruleset.nft", "sysctl.conf", "ssh/00-fwc.conf", "ssh/fwc-bastion.service"];
const KEYS: &str = "ssh/authorized_keys/";

/// One side: machines by their names; one without a name is a listing.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) site: Site,
    pub(super) hosts: BTreeMap<String, Machine>,
    /// Its security groups; a listing can have none.
    pub(super) cloud: Option<Cloud>,
}

/// What one machine is told.
#[derive(Default)]
pub(super) struct Machine {
    /// Its ruleset, with the statements of its lines.
    pub(super) rules: Option<(HostRules, Lines)>,
    /// What its kernel is told beside them, or why that cannot be read; none of a listing.
    pub(super) settings: Option<Result<Settings, String>>,
    /// What its sshd is told.
    pub(super) server: Option<Server>,
    /// How what takes the place of its sshd is started.
    pub(super) unit: Option<String>,
}

impl Input {
    /// None where a policy has errors, which have been told: for programs too, where they are who asks.
    pub(super) fn read(
        path: &Path,
        depends: &Depends,
        (how, format): (Listed, Format),
        console: &mut Console<'_>,
    ) -> Result<Option<Self>, Failure> {
        let name = path.display().to_string();
        if path.join(manifest::NAME).is_file() {
            return Self::build(name, path).map(Some);
        }
        if path.is_dir() || path.extension().is_some_and(|ext| ext == "fw") {
            return Self::policy(name, path, depends, format, console);
        }
        let rules = how.understood(listed(&name, &text_at(path)?)?);
        let machine = Machine { rules: Some((rules, Lines::new())), ..Machine::default() };
        let hosts = BTreeMap::from([(String::new(), machine)]);
        Ok(Some(Self { name, site: Site::default(), hosts, cloud: None }))
    }

    fn policy(
        name: String,
        path: &Path,
        depends: &Depends,
        format: Format,
        console: &mut Console<'_>,
    ) -> Result<Option<Self>, Failure> {
        let policies = vec![path.to_path_buf()];
        let mut request = Request::read(PolicyArgs { policies, depends: depends.clone() })?;
        let compiled = request.compile();
        let Some(compiled) = compiled else {
            unanswered(format.json((super::FORMAT, "differences")), &request, console)?;
            return Ok(None);
        };
        request.tell_findings(console);
        if !compiled.report.holds() {
            console.talk(&format!("note: `{}` is not proved; `fwc verify` says why\n", clean_line(&name)));
        }
        let mut hosts = BTreeMap::new();
        for host in &compiled.hosts {
            let files: BTreeMap<&str, &str> =
                host.files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
            let mut machine = Machine::told(&host.name, &files)?;
            let lines = files.get("origins.json").map(|text| lines_of(text)).unwrap_or_default();
            machine.rules = compiled.artifacts.get(&host.host).map(|rules| (rules.clone(), lines));
            hosts.insert(host.name.clone(), machine);
        }
        let cloud = Some(Cloud::of_policy(&compiled));
        Ok(Some(Self { name, site: compiled.site, hosts, cloud }))
    }

    fn build(name: String, path: &Path) -> Result<Self, Failure> {
        let text = text_at(&path.join(manifest::NAME))?;
        let files = manifest::listed(&text)
            .ok_or_else(|| Failure::new(format!("`{name}/manifest.json` is none of fwc's")))?;
        if let Some(other) = manifest::other_format(&text) {
            return Err(Failure::new(format!(
                "the format of `{name}` is {}, and this fwc reads {FORMAT}",
                other.told
            ))
            .help(format!(
                "fwc {} wrote it: compile its policy again, or compare it with that fwc",
                clean_line(&other.fwc)
            )));
        }
        // What is installed is what lies there, whether the manifest lists it or not.
        let all: BTreeSet<String> = files.iter().cloned().chain(lying(path)?).collect();
        let mut of_host: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
        for file in &all {
            let Some((host, of)) = file.strip_prefix("hosts/").and_then(|rest| rest.split_once('/')) else {
                continue;
            };
            if COMPARED.contains(&of) || of.starts_with(KEYS) {
                of_host.entry(host).or_default().insert(of, text_at(&path.join(file))?);
            }
        }
        let mut hosts = BTreeMap::new();
        for (host, texts) in of_host {
            let texts: BTreeMap<&str, &str> = texts.iter().map(|(of, text)| (*of, text.as_str())).collect();
            let mut machine = Machine::told(host, &texts)?;
            if let Some(text) = texts.get("ruleset.nft") {
                let file = path.join("hosts").join(host).join("ruleset.nft");
                // Names for lines, and no more: without them there are none.
                let origins = text_at(&path.join("hosts").join(host).join("origins.json"));
                let lines = origins.map(|text| lines_of(&text)).unwrap_or_default();
                machine.rules = Some((listed(&file.display().to_string(), text)?, lines));
            }
            hosts.insert(host.to_owned(), machine);
        }
        let cloud = Cloud::of_build(path, &files)?;
        Ok(Self { name, site: Site::default(), hosts, cloud })
    }

    /// The file that the lines of a machine's ruleset are of.
    pub(super) fn named(&self) -> Named<'_> {
        Named { name: &self.name, listing: self.is_listing() }
    }

    /// Of one machine, in one file.
    pub(super) fn is_listing(&self) -> bool {
        self.hosts.contains_key("")
    }
}

impl Machine {
    /// What a machine is told by its files beside the ruleset.
    fn told(host: &str, files: &BTreeMap<&str, &str>) -> Result<Self, Failure> {
        let unread = |file: &str, why: read::Unread| {
            Failure::new(format!("`hosts/{host}/{file}` cannot be read as what fwc tells an sshd: {why}"))
        };
        let read = |text: &&str| sysctl::read::read(text).map_err(|why| why.to_string());
        let settings = files.get("sysctl.conf").map(read);
        let mut server = Server::default();
        let mut told = false;
        for (file, text) in files {
            if let Some(account) = file.strip_prefix(KEYS) {
                let lines = read::keys(text).map_err(|why| unread(file, why))?;
                server.keys.insert(account.to_owned(), lines);
                told = true;
            } else if *file == "ssh/00-fwc.conf" {
                server.config = read::config(text).map_err(|why| unread(file, why))?;
                told = true;
            }
        }
        let unit = files.get("ssh/fwc-bastion.service").map(|text| (*text).to_owned());
        Ok(Self { rules: None, settings, server: told.then_some(server), unit })
    }
}

/// The files of the machines of a build that are compared, as they lie there.
fn lying(path: &Path) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for host in names_in(&path.join("hosts"))? {
        let folder = path.join("hosts").join(&host);
        let there = COMPARED.iter().filter(|of| folder.join(of).exists());
        all.extend(there.map(|of| format!("hosts/{host}/{of}")));
        // A name with a dot before it is that of no account: an editor's, or written beside. Nor is a folder's.
        let keys = folder.join(KEYS);
        let accounts = names_in(&keys)?.into_iter();
        let accounts = accounts.filter(|name| !name.starts_with('.') && !keys.join(name).is_dir());
        all.extend(accounts.map(|account| format!("hosts/{host}/{KEYS}{account}")));
    }
    Ok(all)
}

/// What is in a folder; nothing in one that is not there, or is none.
fn names_in(folder: &Path) -> Result<Vec<String>, Failure> {
    let unread = |why: String| Failure::new(format!("cannot read `{}`: {why}", folder.display()));
    let entries = match std::fs::read_dir(folder) {
        Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(|why| unread(why.to_string()))?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let name = entry.map_err(|why| unread(why.to_string()))?.file_name();
        all.push(name.into_string().map_err(|name| unread(format!("a file is called {name:?}")))?);
    }
    Ok(all)
}

pub(super) fn text_at(path: &Path) -> Result<String, Failure> {
    listing_of(path).map_err(|why| Failure::new(format!("cannot read `{}`: {why}", path.display())))
}

pub(super) fn listed(name: &str, text: &str) -> Result<HostRules, Failure> {
    HostRules::listed(text).map_err(|why| {
        let help = format!(
            "give a policy (`.fw`), a folder of `fwc compile`, answers of EC2, or what `nft list ruleset` prints; of a file \
             for `nft -f`: `{LISTS}`"
        );
        no_ruleset(name, Some(text), &why.to_string(), help)
    })
}

/// `origins.json`: the statements of each line, with their places. What cannot be read names nothing.
fn lines_of(text: &str) -> Lines {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let mut lines = Lines::new();
    for entry in value.as_array().map(Vec::as_slice).unwrap_or_default() {
        let number = entry.get("line").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let statements = entry.get("statements").and_then(Value::as_array).map(Vec::as_slice);
        let (Some(number), Some(statements)) = (number, statements) else { continue };
        let words = statements.iter().filter_map(|of| {
            let words = of.get("words")?.as_str()?;
            match (of.get("file").and_then(Value::as_str), of.get("line").and_then(Value::as_u64)) {
                (Some(file), Some(line)) => Some(format!("{file}:{line} {words}")),
                _ => Some(words.to_owned()),
            }
        });
        lines.insert(number, words.collect());
    }
    lines
}

/// Two machines of one name; none where a side has none.
pub(super) type Pair<'a> = (String, Option<&'a Machine>, Option<&'a Machine>);

/// Which machine is compared with which.
pub(super) fn paired<'a>(
    old: &'a Input,
    new: &'a Input,
    host: Option<&str>,
) -> Result<Vec<Pair<'a>>, Failure> {
    let a_listing = |side: &'a Input| side.hosts.get("");
    let of = |side: &'a Input, name: &str| a_listing(side).or_else(|| side.hosts.get(name));
    let filtering = |side: &'a Input| -> Vec<&'a String> {
        side.hosts.iter().filter(|(_, machine)| machine.rules.is_some()).map(|(name, _)| name).collect()
    };
    let names: Vec<&String> = match (a_listing(old), a_listing(new)) {
        (Some(_), Some(_)) => {
            return Ok(vec![(host.unwrap_or("ruleset").to_owned(), a_listing(old), a_listing(new))]);
        }
        (Some(_), None) => filtering(new),
        (None, Some(_)) => filtering(old),
        (None, None) => {
            let mut all: Vec<&String> = old.hosts.keys().chain(new.hosts.keys()).collect();
            all.sort();
            all.dedup();
            all
        }
    };
    let spelled = || names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if let Some(host) = host {
        let in_groups = [old, new].into_iter().filter_map(|side| side.cloud.as_ref());
        let known = names.iter().any(|name| *name == host)
            || in_groups.into_iter().any(|cloud| cloud.is_worn_by(host))
                && !old.is_listing()
                && !new.is_listing();
        if !known {
            return Err(Failure::new(format!("neither side has a machine `{host}`"))
                .help(format!("there is {}", spelled())));
        }
        return Ok(vec![(host.to_owned(), of(old, host), of(new, host))]);
    }
    let listing = a_listing(old).or(a_listing(new)).is_some();
    if listing && names.len() != 1 {
        return Err(Failure::new("a listing is of one machine, and the other side has several")
            .help(format!("say --host with one of {}", spelled())));
    }
    Ok(names.into_iter().map(|name| (name.clone(), of(old, name), of(new, name))).collect())
}
