//! `fwc trace`: the way of one packet, with the policy line and the rule that decide at each hop.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::json;

use crate::compile::Compiled;
use crate::model::{Hook, Point, Site};
use crate::net::{CtState, Family, Packet, Proto, Verdict, icmp_begins, icmp_untracked};
use crate::verify::Hop;
use crate::verify::trace::{IfOwn, NoWay};

use super::check::unanswered;
use super::files::bytes_of;
use super::options::{Depends, Format, PolicyArgs};
use super::report::{Telling, word};
use super::request::Request;
use super::{Console, Exit, Failure, captured, engine, packet, render};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.trace/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policies as for the other commands, then the packet: "tcp 80 from 10.1.1.11 to 10.1.2.2 [sport N] [in IF] [uid N]",
    /// "udp 53 from ...", "ping from ...", "icmp echo-request from ...", "proto 112 from ..."; IF is an interface by which
    /// it comes, `eth0` or `fw.eth0`, and spoofed if that is not the way from its source; uid is the user who sends it, where
    /// statements name people. Or a captured one: a line
    /// of the kernel's log ("IN=eth1 ... SRC=... DST=..."), a line of `tcpdump -n`, or FILE.pcap#N for a file's Nth record
    #[arg(value_name = "[POLICY]... PACKET", required = true)]
    words: Vec<String>,

    #[command(flatten)]
    depends: Depends,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut words = args.words;
    let sentence = words.pop().unwrap_or_default();
    let mut traced = asked(&sentence).map_err(|why| {
        let help = match packet::named(&sentence) {
            Some((from, to)) => format!(
                "ask `fwc reach` \"how can {from} reach {to}\": it shows examples with addresses, and takes names"
            ),
            None => "say it in quotes, as the last word: \"tcp 80 from 10.1.1.11 to 10.1.2.2\"".to_owned(),
        };
        Failure::new(format!("no packet in `{sentence}`: {why}")).help(help)
    })?;
    let policies = words.into_iter().map(PathBuf::from).collect();
    let mut request = Request::read(PolicyArgs { policies, depends: args.depends })?;
    let seen = captured::seen(&sentence);
    traced.time = request.options.at;
    let compiled = request.prove_for_question();
    let Some(compiled) = compiled else {
        return unanswered(args.format.json((FORMAT, "hops")), &request, console);
    };
    request.tell_findings(console);
    let (mut hops, no_path) = match engine::trace(&compiled, &traced, seen) {
        Ok(hops) => (hops, None),
        Err(NoWay::NoPath(why)) => (Vec::new(), Some(why)),
        Err(why @ NoWay::Interface(_)) => return Err(Failure::new(why.to_string())),
    };
    let by_leg = engine::trace_by_its_leg(&compiled, &traced);
    let mut if_own = engine::trace_if_own(&compiled, &traced, seen);
    request.mark("trace");
    // The time is the run's, not the packet's.
    traced.time = 0;
    let all = hops.iter_mut().chain(if_own.iter_mut().flat_map(|own| &mut own.hops));
    for rewrite in all.filter_map(|hop| hop.rewrite.as_mut()) {
        (rewrite.before.time, rewrite.after.time) = (0, 0);
    }
    let telling = Telling { site: &compiled.site, sources: &request.sources, ruleset: None };
    match args.format {
        Format::Text => {
            let mut text = format!("packet  {}\n", telling.packet(&traced));
            telling.hops(&mut text, &hops);
            console.data(&text);
            let plain = no_path.as_deref().map_or_else(|| answer(&hops), |why| format!("no path: {why}"));
            let all = agreed(&hops, &fate).filter(|_| no_path.is_none());
            console.data(&with_own(telling, (plain, all), &hops, &if_own));
            if let Some((interface, hops)) = &by_leg {
                let interface = super::clean::clean_line(interface);
                console.data(&format!(
                    "sent by `{interface}`, which has that address, against the routes: {}\n",
                    answer(hops)
                ));
            }
            for (name, uid) in senders(&compiled, request.options.at, &traced, &hops) {
                console.data(&format!("sent by `{name}` it is accepted: ask with `uid {uid}`\n"));
            }
        }
        Format::Json => {
            let meant = |hops: &[Hop]| first_refusal(hops.iter().map(|hop| hop.meant));
            let said = |of: &dyn Fn(&[Hop]) -> Verdict| match no_path {
                Some(_) => "no path",
                None => agreed(&hops, of).filter(|all| is_so(*all, &if_own, of)).map_or(DEPENDS, word),
            };
            let mut told = json!({
                "packet": telling.packet(&traced),
                "verdict": said(&fate),
                "meant": said(&meant),
                "because": no_path,
                "hops": telling.hops_as_json(&hops),
            });
            let each = each_end(&hops).into_iter().map(|(to, hops)| {
                json!({ "destination": to.to_string(), "verdict": word(fate(hops)), "meant": word(meant(hops)) })
            });
            let each: Vec<_> = each.collect();
            if let Some(object) = told.as_object_mut().filter(|_| !each.is_empty()) {
                object.insert("each".to_owned(), each.into());
            }
            let own = if_own.iter().map(|own| {
                json!({
                    "address": own.address.to_string(),
                    "machine": own.machine,
                    "interface": own.interface,
                    "far_fetched": own.far_fetched,
                    "verdict": word(fate(&own.hops)),
                    "meant": word(meant(&own.hops)),
                    "hops": telling.hops_as_json(&own.hops),
                })
            });
            let own: Vec<_> = own.collect();
            if let Some(object) = told.as_object_mut().filter(|_| !own.is_empty()) {
                object.insert("if_own".to_owned(), own.into());
            }
            if let (Some(object), Some((interface, hops))) = (told.as_object_mut(), &by_leg) {
                let by_leg = json!({ "interface": interface, "verdict": word(fate(hops)), "meant": word(meant(hops)) });
                object.insert("by_leg".to_owned(), by_leg);
            }
            console.data(&render::document(FORMAT, told));
        }
    }
    if let Some(machine) =
        captured::let_pass_by(&sentence).filter(|name| is_stopped_at(&compiled.site, name, &hops))
    {
        console.talk(&format!(
            "note: the line says that `{}` let it pass. What an `allow` with `dnat` logs has the destination that it was given: ask with \
             the one that its sender wrote\n",
            super::clean::clean_line(machine)
        ));
    }
    request.tell_timings(console);
    let by_leg = by_leg.iter().flat_map(|(_, hops)| hops);
    let own = if_own.iter().flat_map(|own| &own.hops);
    let faithful = hops.iter().chain(by_leg).chain(own).all(Hop::faithful);
    Ok(if faithful { Exit::Fine } else { Exit::AtFault })
}

/// The packet of the last argument.
fn asked(sentence: &str) -> Result<Packet, String> {
    if let Some((file, number)) = sentence.rsplit_once(".pcap#") {
        let number = number.parse().map_err(|_| format!("`{number}` is no number of a record"))?;
        let bytes = bytes_of(format!("{file}.pcap").as_ref())?;
        return captured::record(&bytes, number).map(as_tracked);
    }
    captured::line(sentence).unwrap_or_else(|| packet::parse(sentence).map(as_on_link)).map(as_tracked)
}

/// What is of the link alone with the hop limit that it has to have there (RFC 4861, section 4; RFC 3810, section 5): a sentence does
/// not say it.
fn as_on_link(packet: Packet) -> Packet {
    match (packet.proto, packet.icmp_type) {
        (Proto::ICMPV6, 133..=137) => Packet { ttl: 255, ..packet },
        (Proto::ICMPV6, 130..=132 | 143) => Packet { ttl: 1, ..packet },
        _ => packet,
    }
}

/// With the state in which connection tracking takes it for the first packet that it is: ICMP that asks nothing begins nothing (S16).
fn as_tracked(packet: Packet) -> Packet {
    let family = Family::of(packet.src);
    let icmp = if family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
    let begins = packet.proto != icmp || icmp_begins(family).contains(&packet.icmp_type);
    let ct = match packet.ct {
        CtState::New if begins => CtState::New,
        CtState::New if icmp_untracked(family).contains(&packet.icmp_type) => CtState::Untracked,
        CtState::New => CtState::Invalid,
        said => said,
    };
    Packet { ct, ..packet }
}

/// Those who may send a packet that stops where it starts, because nobody was said to send it (S63).
fn senders<'c>(compiled: &'c Compiled, at: u64, packet: &Packet, hops: &[Hop]) -> Vec<(&'c str, u32)> {
    let site = &compiled.site;
    let stopped = hops.iter().find(|hop| hop.verdict != Verdict::Accept);
    let Some(Point::Hook { host, hook: Hook::Output }) = stopped.map(|hop| &hop.point) else {
        return Vec::new();
    };
    if packet.skuid.is_some() {
        return Vec::new();
    }
    let arrives = |uid: u32| {
        let sent = Packet { skuid: Some(uid), time: at, ..packet.clone() };
        engine::trace(compiled, &sent, None).is_ok_and(|hops| fate(&hops) == Verdict::Accept)
    };
    let people =
        site.people().filter_map(|(id, person)| Some((person.name.as_str(), site.uid_at(*host, id)?)));
    people.filter(|(_, uid)| arrives(*uid)).collect()
}

fn is_stopped_at(site: &Site, name: &str, hops: &[Hop]) -> bool {
    let stopped = hops.iter().find(|hop| hop.verdict != Verdict::Accept);
    let Some(Point::Hook { host, .. }) = stopped.map(|hop| &hop.point) else { return false };
    site.host(*host).is_some_and(|machine| machine.name == name)
}

/// What becomes of a packet that every hop on its way decides about.
fn fate(hops: &[Hop]) -> Verdict {
    first_refusal(hops.iter().map(|hop| hop.verdict))
}

fn first_refusal(mut verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    verdicts.find(|&verdict| verdict != Verdict::Accept).unwrap_or(Verdict::Accept)
}

/// What is said for a verdict where one address that a public one may stand for gets the packet, and another does not, or one machine
/// that may have its address.
const DEPENDS: &str = "depends";

/// The most machines that may have an address that are told to people.
const MACHINES: usize = 4;

/// Where nobody knows for which of several private addresses a public one stands, the hops of each from there on (S57); none where
/// there is one way.
fn each_end(hops: &[Hop]) -> Vec<(IpAddr, &[Hop])> {
    let delivers = |hop: &Hop| {
        let rewrite = hop.rewrite.as_ref()?;
        Some((hop.point.clone(), rewrite.before.clone(), rewrite.after.dst))
    };
    let all: Vec<_> = (0usize..).zip(hops.iter().map(delivers)).collect();
    let alike = |(point, before, _): &(Point, Packet, IpAddr)| {
        let same = all.iter().filter_map(|(at, of)| Some((*at, of.as_ref()?)));
        let same = same.filter(|(_, (p, b, _))| (p, b) == (point, before));
        same.map(|(at, (_, _, to))| (at, *to)).collect::<Vec<_>>()
    };
    let forks = all.iter().filter_map(|(_, of)| of.as_ref()).map(alike).find(|alike| alike.len() > 1);
    let forks = forks.unwrap_or_default();
    let ends = forks.iter().skip(1).map(|(at, _)| *at).chain([hops.len()]);
    let each = forks.iter().zip(ends).filter_map(|((at, to), end)| Some((*to, hops.get(*at..end)?)));
    each.collect()
}

/// Whether that becomes of a packet, too, if a machine has one of its addresses that nobody knows.
fn is_so(all: Verdict, if_own: &[IfOwn], of: &dyn Fn(&[Hop]) -> Verdict) -> bool {
    if_own.iter().filter(|own| !own.far_fetched).all(|own| of(&own.hops) == all)
}

/// An answer, and what else becomes of the packet if a machine has one of its addresses that nobody knows.
fn with_own(
    telling: Telling<'_>,
    (plain, all): (String, Option<Verdict>),
    hops: &[Hop],
    if_own: &[IfOwn],
) -> String {
    let depends = all.is_some_and(|all| !is_so(all, if_own, &fate));
    let mut text = match depends {
        true => format!("depends on whose address it is\nif it is of no such machine: {plain}\n"),
        false => format!("{plain}\n"),
    };
    // Where nothing filters otherwise, that somebody does is worth a word.
    let tells = |own: &IfOwn| all != Some(fate(&own.hops)) || hops.is_empty() && !own.far_fetched;
    let mut told: Vec<&IfOwn> = if_own.iter().filter(|own| tells(own)).collect();
    told.sort_by_key(|own| own.far_fetched);
    for own in told.iter().take(MACHINES) {
        let interface = own.interface.iter().map(|interface| format!(".{interface}"));
        let name = super::clean::clean_line(&interface.fold(own.machine.clone(), |name, of| name + &of));
        let _ = writeln!(text, "if {} is the address of `{name}`: {}", own.address, answer(&own.hops));
        telling.hops(&mut text, &own.hops);
    }
    let more = told.len().saturating_sub(MACHINES);
    if more > 0 {
        let _ = writeln!(text, "and {more} more that may have it");
    }
    text
}

/// What all ends of a way have in common; none where they differ.
fn agreed(hops: &[Hop], of: &dyn Fn(&[Hop]) -> Verdict) -> Option<Verdict> {
    let each = each_end(hops);
    let all = of(hops);
    let accepted = |(_, hops): &(IpAddr, &[Hop])| of(hops) == Verdict::Accept;
    (all == Verdict::Accept || !each.iter().any(accepted)).then_some(all)
}

fn answer(hops: &[Hop]) -> String {
    if agreed(hops, &fate).is_none() {
        let each = each_end(hops).into_iter().map(|(to, hops)| format!("sent to {to}: {}", answer_of(hops)));
        return each.collect::<Vec<_>>().join("; ");
    }
    answer_of(hops)
}

fn answer_of(hops: &[Hop]) -> String {
    let stopped = hops.iter().find(|hop| hop.verdict != Verdict::Accept);
    match stopped {
        Some(hop) => format!("{} at {}", word(hop.verdict), super::clean::clean_line(&hop.place)),
        None if hops.is_empty() => "accept: nothing that filters is on its way".to_owned(),
        None => format!("accept, {}", render::number(hops.len(), "hop")),
    }
}
