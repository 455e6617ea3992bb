//! The kernel's parameters beside the rules: what is wanted of them, which are otherwise, and what the kernel turns by itself.
//!
//! Wanted is what `sysctl.conf` says, and what follows from it for the legs: IPv4 is forwarded where the interface by which
//! it comes forwards (`conf/INTERFACE/forwarding`), whatever `ip_forward` says; of IPv6 that key decides about router
//! advertisements alone (ip-sysctl of the kernel's documentation). Whoever writes `ip_forward` turns that of each interface,
//! and whether redirects are taken (`inet_forward_change`; of IPv6 the interfaces alone, `addrconf_forward_change`): a
//! way back has to know what they were.

#![expect(clippy::disallowed_methods, reason = "reads the kernel's parameters")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

use crate::target::sysctl::artifact::{Setting, Settings};
use crate::target::sysctl::{print, read};

use super::ApplyError;
use super::build::{Build, Leg};
use super::change::CONFIRMED_PARAMETERS;
use super::state::{Parameter, Record, State};

/// The file of a generation with the parameters of its legs, as they follow from `sysctl.conf`.
pub const OF_LEGS: &str = "legs.conf";

const FORWARD: &str = "net/ipv4/ip_forward";

/// Whether the forward hook is shown packets between the ports of a bridge. It is there while `br_netfilter` is loaded.
pub const SHOWN: &str = "net/bridge/bridge-nf-call-iptables";

/// What a parameter is now.
#[must_use]
pub fn value(key: &str) -> Option<String> {
    fs::read_to_string(Path::new("/proc/sys").join(key)).ok().map(|text| text.trim().to_owned())
}

/// Whether two values are one: the kernel writes its own blanks.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

/// Whether a parameter is as it is wanted. Of what a kernel has not got nothing is turned on.
#[must_use]
pub fn holds(setting: &Setting) -> bool {
    match value(&setting.key) {
        Some(is) => same(&is, &setting.value),
        None => setting.optional || setting.value == "0" && is_of_no_ipv6(&setting.key),
    }
}

/// Whether a parameter is one of IPv6 and the kernel was started without (`ipv6.disable=1`).
fn is_of_no_ipv6(key: &str) -> bool {
    let there = || Path::new("/proc/sys/net/ipv6/conf").try_exists();
    key.starts_with("net/ipv6/") && there().is_ok_and(|there| !there)
}

/// Every parameter that a build wants.
#[must_use]
pub fn wanted(build: &Build) -> Settings {
    let legs = of_legs(&build.settings, &build.legs);
    Settings { settings: build.settings.settings.iter().cloned().chain(legs.settings).collect() }
}

/// Of a machine that forwards IPv4: that its legs do. A leg that is not there forwards nothing.
#[must_use]
pub fn of_legs(settings: &Settings, legs: &[Leg]) -> Settings {
    let forwards = settings.value(FORWARD) == Some("1");
    let carries = |leg: &&Leg| leg.dynamic || leg.addresses.iter().any(std::net::IpAddr::is_ipv4);
    let names = legs.iter().filter(carries).filter_map(|leg| leg.interface.as_ref());
    let keys: BTreeSet<String> = names.map(|name| format!("net/ipv4/conf/{name}/forwarding")).collect();
    let setting = |key: String| Setting { optional: true, ..Setting::new(key, "1", &[]) };
    let said = |key: &String| settings.value(key).is_some();
    Settings { settings: keys.into_iter().filter(|key| forwards && !said(key)).map(setting).collect() }
}

/// The text of [`OF_LEGS`].
#[must_use]
pub fn of_legs_text(build: &Build) -> String {
    print::print(&of_legs(&build.settings, &build.legs))
}

/// What is wrong where bridged packets are filtered by the forward hook, and the kernel shows it none.
#[must_use]
pub fn unshown(wanted: &Settings) -> Option<String> {
    let needed = wanted.value(SHOWN) == Some("1") && value(SHOWN).is_none();
    needed.then(|| {
        format!(
            "there is no `{}`: without the module br_netfilter nothing filters what the ports of a bridge say to each other \
             (`modprobe br_netfilter`, and `fwc boot install` writes a unit that loads it)",
            SHOWN.replace('/', ".")
        )
    })
}

/// Those that are not as they are wanted. Where nothing is forwarded, that of a leg is no matter of its own: whoever turns
/// forwarding on turns it on there.
pub fn otherwise(wanted: &Settings) -> impl Iterator<Item = &Setting> {
    let forwards = value(FORWARD).is_none_or(|is| is != "0");
    let follows =
        |setting: &Setting| setting.optional && setting.value == "1" && leg_of(&setting.key).is_some();
    wanted.settings.iter().filter(move |s| !holds(s) && (forwards || !follows(s)))
}

/// The interface whose forwarding of IPv4 a key is.
#[must_use]
pub fn leg_of(key: &str) -> Option<&str> {
    let name = key.strip_prefix("net/ipv4/conf/")?.strip_suffix("/forwarding")?;
    (!["all", "default"].contains(&name)).then_some(name)
}

/// Those that can be set.
#[must_use]
pub fn different(wanted: &Settings) -> Vec<Parameter> {
    let changed = |setting: &Setting| {
        let Setting { key, value: to, .. } = setting.clone();
        Some(Parameter { before: value(&key)?, key, value: to })
    };
    otherwise(wanted).filter_map(changed).collect()
}

/// Those that are not as wanted and are not set either: whoever goes on all the same leaves them so.
#[must_use]
pub fn left(wanted: &Settings, set: &[Parameter]) -> BTreeSet<String> {
    let is_set = |key: &String| set.iter().any(|parameter| parameter.key == *key);
    otherwise(wanted).map(|setting| setting.key.clone()).filter(|key| !is_set(key)).collect()
}

/// What the kernel turns by itself when these are set, and what it is: the forwarding of each interface, and whether
/// redirects are taken.
#[must_use]
pub fn beside(parameters: &[Parameter]) -> BTreeMap<String, String> {
    let is_set = |key: &str| parameters.iter().any(|parameter| parameter.key == key);
    let mut keys = Vec::new();
    for (switch, family) in [(FORWARD, "ipv4"), ("net/ipv6/conf/all/forwarding", "ipv6")] {
        if !is_set(switch) {
            continue;
        }
        let folder = format!("net/{family}/conf");
        let scopes = fs::read_dir(Path::new("/proc/sys").join(&folder)).into_iter().flatten().flatten();
        let names = scopes.filter_map(|entry| entry.file_name().into_string().ok());
        keys.extend(names.filter(|name| name != "all").map(|name| format!("{folder}/{name}/forwarding")));
        keys.extend((family == "ipv4").then(|| format!("{folder}/all/accept_redirects")));
    }
    keys.retain(|key| !is_set(key));
    keys.into_iter().filter_map(|key| Some((value(&key)?, key))).map(|(is, key)| (key, is)).collect()
}

/// The default routes that the kernel forgets when these are set, each as gateway and interface: told to forward IPv6, those that it
/// learned from router advertisements itself, by interfaces that will take no more of them (`rt6_purge_dflt_routers`; ip-sysctl,
/// `accept_ra`). No way back brings them again, only the next advertisement.
#[must_use]
pub fn forgotten(parameters: &[Parameter]) -> Vec<(Ipv6Addr, String)> {
    let forwards = |p: &Parameter| p.key == "net/ipv6/conf/all/forwarding" && p.value == "1";
    if !parameters.iter().any(forwards) {
        return Vec::new();
    }
    let routes = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let takes_more =
        |name: &str| value(&format!("net/ipv6/conf/{name}/accept_ra")).is_some_and(|is| is == "2");
    let mut all: Vec<_> = routes.lines().filter_map(advertised).filter(|(_, by)| !takes_more(by)).collect();
    all.sort();
    all.dedup();
    all
}

/// The gateway and the interface of a line of `/proc/net/ipv6_route` that is a default route which the kernel learned itself.
fn advertised(line: &str) -> Option<(Ipv6Addr, String)> {
    /// `RTF_DEFAULT` and `RTF_ADDRCONF` (`linux/ipv6_route.h`).
    const LEARNED: u32 = 0x0001_0000 | 0x0004_0000;
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "00", _, _, gateway, _, _, _, flags, interface] = words.as_slice() else { return None };
    let gateway = u128::from_str_radix(gateway, 16).ok().filter(|gateway| *gateway != 0)?;
    let flags = u32::from_str_radix(flags, 16).ok()?;
    (flags & LEARNED != 0).then(|| (Ipv6Addr::from(gateway), (*interface).to_owned()))
}

/// Of those that the kernel turned by itself, what stays as it was all the same: who did not take redirects takes none.
pub fn kept(beside: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    let all = beside.iter().map(|(key, was)| (key.as_str(), was.as_str()));
    all.filter(|(key, was)| key.ends_with("/accept_redirects") && *was == "0")
}

// ---- of a generation ----------------------------------------------------------------------------------

/// Every parameter that a generation wants.
///
/// # Errors
/// When its files cannot be read.
pub fn of_generation(state: &State, generation: u64) -> Result<Settings, ApplyError> {
    let mut settings = read_file("sysctl.conf", &state.text(generation, "sysctl.conf")?)?;
    // An older fwc wrote none.
    if let Ok(legs) = state.text(generation, OF_LEGS) {
        settings.settings.extend(read_file(OF_LEGS, &legs)?.settings);
    }
    Ok(settings)
}

fn read_file(name: &str, text: &str) -> Result<Settings, ApplyError> {
    read::read(text).map_err(|why| ApplyError::State(format!("{name}: {why}")))
}

/// Whether a generation wants what a build wants, whatever its comments say.
///
/// # Errors
/// As [`of_generation`].
pub fn is_wanted_by(state: &State, generation: u64, build: &Build) -> Result<bool, ApplyError> {
    let plain = |settings: Settings| -> Vec<Setting> {
        settings.settings.into_iter().map(|s| Setting { because: Vec::new(), ..s }).collect()
    };
    let older = !state.generation(generation).join(OF_LEGS).exists();
    let new = if older { build.settings.clone() } else { wanted(build) };
    Ok(plain(of_generation(state, generation)?) == plain(new))
}

/// The parameters of a generation as they are now, without those that are not there: what [`CONFIRMED_PARAMETERS`] keeps.
#[must_use]
pub fn as_they_are(wanted: Settings) -> String {
    let is = |setting: Setting| {
        let is = value(&setting.key)?;
        Some(Setting { value: is.split_whitespace().collect::<Vec<_>>().join(" "), ..setting })
    };
    print::print(&Settings { settings: wanted.settings.into_iter().filter_map(is).collect() })
}

/// A parameter that is not as the confirmed generation wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// As a path below `/proc/sys`.
    pub key: String,
    /// What it is to be.
    pub wanted: String,
    /// What it is; none where the kernel does not have it.
    pub is: Option<String>,
    /// Whether it was never set, and was so when the generation was confirmed: `apply` told of it, and whoever confirmed it
    /// all the same knew.
    pub known: bool,
}

/// Those that are not as the confirmed generation wants them.
///
/// # Errors
/// When its files cannot be read.
pub fn turned(state: &State, record: &Record) -> Result<Vec<Turned>, ApplyError> {
    let wanted = of_generation(state, record.generation)?;
    // A generation that an older fwc confirmed does not tell.
    let was = match state.text(record.generation, CONFIRMED_PARAMETERS) {
        Ok(text) => read_file(CONFIRMED_PARAMETERS, &text)?,
        Err(_) => Settings::default(),
    };
    let turned = |setting: &Setting| {
        let Setting { key, value: wanted, .. } = setting.clone();
        let is = value(&key);
        let set = record.parameters.iter().any(|parameter| parameter.key == key);
        let as_then = is.as_deref().is_some_and(|is| was.value(&key).is_some_and(|was| same(is, was)));
        Turned { key, wanted, is, known: as_then && !set }
    };
    Ok(otherwise(&wanted).map(turned).collect())
}

/// What of a generation on trial somebody undid since it was loaded, in words.
///
/// # Errors
/// When its files cannot be read.
pub fn undone(state: &State, record: &Record) -> Result<Vec<String>, ApplyError> {
    let wanted = of_generation(state, record.generation)?;
    let undone = otherwise(&wanted)
        .filter(|setting| !record.left.contains(&setting.key) && !went_with_its_interface(&setting.key));
    let words = |setting: &Setting| {
        let is = value(&setting.key).unwrap_or_else(|| "not there".to_owned());
        format!("`{}` is {is}, and was {}", setting.key.replace('/', "."), setting.value)
    };
    Ok(undone.map(words).collect())
}

/// Whether a parameter is one of an interface that is no more: the kernel takes `net/FAMILY/conf/INTERFACE` away with it.
#[must_use]
pub fn went_with_its_interface(key: &str) -> bool {
    let parts: Vec<&str> = key.split('/').collect();
    let ["net", family, "conf", interface, _] = parts.as_slice() else { return false };
    let folder = Path::new("/proc/sys/net").join(family).join("conf").join(interface);
    folder.symlink_metadata().is_err_and(|why| why.kind() == std::io::ErrorKind::NotFound)
}
