//! `fwc drift`: whether this machine still does what was confirmed. Fit for cron: silent and 0, or the difference and 1.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::apply::change::{CONFIRMED_PARAMETERS, CONFIRMED_WITH};
use crate::apply::live::{Nft, parsed};
use crate::apply::preflight;
use crate::apply::state::State;
use crate::net::CtState;
use crate::net::{Field, Space};
use crate::target::nft::artifact::{Hook, Ruleset};
use crate::target::nft::sim;
use crate::target::nft::still::is_later;
use crate::target::sysctl::{self, artifact::Settings};

use super::diff::of_listings;
use super::live::{StateArgs, failure, never};
use super::options::Format;
use super::packet::show;
use super::{Console, Exit, Failure, render};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    state: StateArgs,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let state = args.state.look()?;
    if !state.is_there() {
        console.talk(&never(&state));
    }
    let Some(confirmed) = state.confirmed().map_err(failure)? else {
        console.talk("nothing is confirmed on this machine, so nothing can drift from it\n");
        return Ok(Exit::AtFault);
    };
    let record = state.record(confirmed).map_err(failure)?;
    let nft = Nft::at(&record.nft);
    let was = state.text(confirmed, CONFIRMED_WITH).map_err(failure)?;
    let is = nft.all_text().map_err(|why| failure(why.into()))?;
    let name = format!("generation {confirmed}");
    let [rules, now] = [&was, &is].map(|text| parsed(text).map_err(|why| failure(why.into())));
    let (rules, now) = (rules?, now?);
    // What rules count, and time takes, is no edit, also where it is not known what becomes of packets by it.
    let same = is_later(&now, &rules);
    let (diff, words, data) =
        of_listings(&record.host, (&name, &was), ("now", if same { &was } else { &is }))?;
    let turned = turned(&state, confirmed, &rules)?;
    // `apply` told of it, and whoever confirmed it all the same knew.
    let (known, turned): (Vec<Turned>, Vec<Turned>) = turned.into_iter().partition(|one| one.known);
    let drifted = !diff.is_empty() || !turned.is_empty();
    let cosmetic = !drifted && !same;
    match args.format {
        Format::Json => console.data(&render::document(&json!({
            "drifted": drifted,
            "cosmetic": cosmetic,
            "packets": data,
            "parameters": turned.iter().map(Turned::json).collect::<Vec<_>>(),
            "never_set": known.iter().map(Turned::json).collect::<Vec<_>>(),
        }))),
        Format::Text => {
            if !diff.is_empty() {
                console.data(&words);
            }
            for one in &turned {
                console.data(&one.text());
            }
            if cosmetic {
                console.talk("the listing differs, and no packet is treated differently: cosmetic\n");
            }
        }
    }
    Ok(if drifted { Exit::AtFault } else { Exit::Fine })
}

/// A parameter of the kernel that is not what the confirmed `sysctl.conf` says.
struct Turned {
    key: String,
    wanted: String,
    is: Option<String>,
    /// A packet of which that decides.
    packet: Option<String>,
    /// Whether it was so when the generation was confirmed.
    known: bool,
}

impl Turned {
    fn text(&self) -> String {
        let is = self.is.as_deref().unwrap_or("not there");
        let mut text =
            format!("sysctl {} is {is}, and {} was confirmed\n", self.key.replace('/', "."), self.wanted);
        if let Some(packet) = &self.packet {
            let _ = writeln!(text, "    example {packet}");
        }
        text
    }

    fn json(&self) -> Value {
        json!({ "key": self.key, "confirmed": self.wanted, "is": self.is, "packet": self.packet })
    }
}

fn turned(state: &State, confirmed: u64, rules: &Ruleset) -> Result<Vec<Turned>, Failure> {
    let text = state.text(confirmed, "sysctl.conf").map_err(failure)?;
    let read = |text: &str| {
        sysctl::read::read(text).map_err(|why| Failure::new(format!("parameters of the kernel: {why}")))
    };
    let settings = read(&text)?;
    // A generation that an older fwc confirmed does not tell.
    let was = match state.text(confirmed, CONFIRMED_PARAMETERS) {
        Ok(text) => read(&text)?,
        Err(_) => Settings::default(),
    };
    let mut all = Vec::new();
    for setting in settings.settings {
        let is = preflight::value(&setting.key);
        let same = is.as_deref().is_some_and(|is| is.split_whitespace().eq(setting.value.split_whitespace()));
        if same || (is.is_none() && setting.optional) {
            continue;
        }
        let packet = forwarded(&setting.key, rules);
        let known = is.as_deref().is_some_and(|is| {
            was.value(&setting.key).is_some_and(|was| is.split_whitespace().eq(was.split_whitespace()))
        });
        all.push(Turned { key: setting.key, wanted: setting.value, is, packet, known });
    }
    Ok(all)
}

/// A packet that the rules forward: with forwarding turned, what becomes of it is turned.
fn forwarded(key: &str, rules: &Ruleset) -> Option<String> {
    let family = match key {
        "net/ipv4/ip_forward" | "net/ipv4/conf/all/forwarding" => 0,
        "net/ipv6/conf/all/forwarding" => 1,
        _ => return None,
    };
    let mut space = Space::default();
    let admitted = sim::admits(rules, Hook::Forward, &mut space).ok()?.accepted;
    let (of_family, new) = (space.is(Field::Family, family), space.ct(&[CtState::New]));
    let set = space.all(vec![admitted, of_family, new]);
    let packet = space.witness(set, &[]).ok()??;
    Some(show(&packet, &crate::model::Site::default()))
}
