//! `fwc drift`: whether this machine still does what was confirmed. Fit for cron: silent and 0, or the difference and 1.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::apply::change::{self, CONFIRMED_WITH};
use crate::apply::live::{Nft, parsed};
use crate::apply::parameters::{self, Turned};
use crate::net::CtState;
use crate::net::{Field, Space};
use crate::target::nft::artifact::{Hook, Ruleset};
use crate::target::nft::sim;
use crate::target::nft::still::is_later;

use super::clean::clean_line;
use super::diff::of_listings;
use super::live::{StateArgs, failure, never};
use super::options::Format;
use super::packet::show;
use super::{Console, Exit, Failure, render};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.drift/1";

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
    let Some(record) = state.confirmed_record().map_err(failure)? else {
        console.talk("nothing is confirmed on this machine, so nothing can drift from it\n");
        if args.format == Format::Json {
            // As the answer is otherwise, but for what nobody can say.
            let unknown = json!({
                "drifted": null, "cosmetic": null, "packets": null,
                "parameters": [], "bridges": [], "never_set": [],
            });
            console.data(&render::document(FORMAT, unknown));
        }
        return Ok(Exit::AtFault);
    };
    let confirmed = record.generation;
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
    let turned = parameters::turned(&state, &record).map_err(failure)?;
    let (known, turned): (Vec<Told>, Vec<Told>) =
        turned.into_iter().map(|one| Told::new(one, &rules)).partition(|told| told.turned.known);
    let bridges = change::bridges_turned(&state, &record).map_err(failure)?;
    let drifted = !diff.is_empty() || !turned.is_empty() || !bridges.is_empty();
    let cosmetic = !drifted && !same;
    match args.format {
        Format::Json => console.data(&render::document(
            FORMAT,
            json!({
                "drifted": drifted,
                "cosmetic": cosmetic,
                "packets": data,
                "parameters": turned.iter().map(Told::json).collect::<Vec<_>>(),
                "bridges": bridges,
                "never_set": known.iter().map(Told::json).collect::<Vec<_>>(),
            }),
        )),
        Format::Text => {
            if !diff.is_empty() {
                console.data(&words);
            }
            for one in &turned {
                console.data(&one.text());
            }
            for one in &bridges {
                console.data(&format!("bridge {}\n", clean_line(one)));
            }
            if cosmetic {
                console.talk("the listing differs, and no packet is treated differently: cosmetic\n");
            }
        }
    }
    Ok(if drifted { Exit::AtFault } else { Exit::Fine })
}

/// A parameter of the kernel that is not what was confirmed.
struct Told {
    turned: Turned,
    /// A packet of which that decides.
    packet: Option<String>,
}

impl Told {
    fn new(turned: Turned, rules: &Ruleset) -> Self {
        Self { packet: forwarded(&turned.key, rules), turned }
    }

    fn text(&self) -> String {
        let Turned { key, wanted, is, .. } = &self.turned;
        let is = is.as_deref().unwrap_or("not there");
        let mut text = format!("sysctl {} is {is}, and {wanted} was confirmed\n", key.replace('/', "."));
        if let Some(packet) = &self.packet {
            let _ = writeln!(text, "    example {packet}");
        }
        text
    }

    fn json(&self) -> Value {
        let Turned { key, wanted, is, .. } = &self.turned;
        json!({ "key": key, "confirmed": wanted, "is": is, "packet": self.packet })
    }
}

/// A packet that the rules forward: with forwarding turned, what becomes of it is turned.
fn forwarded(key: &str, rules: &Ruleset) -> Option<String> {
    let leg = parameters::leg_of(key);
    let family = match key {
        "net/ipv4/ip_forward" | "net/ipv4/conf/all/forwarding" => 0,
        "net/ipv6/conf/all/forwarding" => 1,
        _ if leg.is_some() => 0,
        _ => return None,
    };
    let mut space = Space::default();
    let admitted = sim::admits(rules, Hook::Forward, &mut space).ok()?.accepted;
    let (of_family, new) = (space.is(Field::Family, family), space.ct(&[CtState::New]));
    let mut asked = vec![admitted, of_family, new];
    if let Some(leg) = leg {
        let interface = space.interface(leg);
        asked.push(space.is(Field::Iif, interface));
    }
    let set = space.all(asked);
    let packet = space.witness(set, &[]).ok()??;
    Some(show(&packet, &crate::model::Site::default()))
}
