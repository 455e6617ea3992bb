//! What two rulesets do differently between the ports of a bridge to frames that are no packets: ARP and whatever else is not IP,
//! and everything behind the tag of a VLAN.
//!
//! *Input*: both rulesets, and which of their tables are alike. *Output*: the frames that one lets pass and the other stops, or
//! may. *Design decisions*: there are few kinds of frames, so each is followed by itself, and those that fare alike are told
//! together.

use std::collections::BTreeMap;

use super::{Change, Common, Side};
use crate::target::nft::sim::{self, ARP, Fate, Frame};

/// Frames that are treated differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameDiff {
    /// How: [`Change::Allowed`] or [`Change::Denied`].
    pub change: Change,
    /// The tag that they have: the EtherType of its kind of VLANs.
    pub tag: Option<u16>,
    /// What they are, or carry behind the tag.
    pub kinds: Vec<Frame>,
    /// What it hangs on; none where it is certain.
    pub because: Option<String>,
}

impl FrameDiff {
    /// `frames of ARP, of 0x88cc`; `frames with a tag of 802.1Q, of IPv4, of whatever else`.
    #[must_use]
    pub fn words(&self) -> String {
        let kinds: Vec<String> = self.kinds.iter().map(kind).collect();
        let tag = match self.tag {
            None => String::new(),
            Some(0x8100) => " with a tag of 802.1Q,".to_owned(),
            Some(0x88a8) => " with a tag of 802.1ad,".to_owned(),
            Some(other) => format!(" with the tag {other:#06x},"),
        };
        format!("frames{tag} of {}", kinds.join(", of "))
    }
}

fn kind(frame: &Frame) -> String {
    match frame.ethertype {
        _ if frame.others => "whatever no rule names".to_owned(),
        0x0800 => "IPv4".to_owned(),
        0x86dd => "IPv6".to_owned(),
        ARP => "ARP".to_owned(),
        0x8100 => "another tag of 802.1Q".to_owned(),
        0x88a8 => "another tag of 802.1ad".to_owned(),
        other => format!("{other:#06x}"),
    }
}

/// The frames that are treated differently, or may be.
pub(super) fn compare(sides: [Side<'_>; 2], common: &Common) -> Vec<FrameDiff> {
    let rulesets = sides.map(|side| &side.rules.ruleset);
    let mut all: BTreeMap<(Option<String>, Change, Option<u16>), Vec<Frame>> = BTreeMap::new();
    for (frame, [was, now]) in sim::fates(rulesets, [&common.old, &common.new]) {
        let (change, because) = match (&was, &now) {
            (Fate::Stopped, Fate::Passes(through)) if through.is_empty() => (Change::Allowed, None),
            (Fate::Passes(through), Fate::Stopped) if through.is_empty() => (Change::Denied, None),
            (was, now) if was == now && !matches!(was, Fate::Unknown(_)) => continue,
            (was, now) => {
                let surely_passed = matches!(was, Fate::Passes(through) if through.is_empty());
                let denied = surely_passed || *now == Fate::Stopped;
                (if denied { Change::Denied } else { Change::Allowed }, Some(because(was, now)))
            }
        };
        all.entry((because, change, frame.tag)).or_default().push(frame);
    }
    let told = |((because, change, tag), kinds)| FrameDiff { change, tag, kinds, because };
    all.into_iter().map(told).collect()
}

fn because(was: &Fate, now: &Fate) -> String {
    let [was, now] = [was, now].map(|fate| match fate {
        Fate::Stopped => "it stops them".to_owned(),
        Fate::Passes(through) if through.is_empty() => "it lets them pass".to_owned(),
        Fate::Passes(through) => {
            let chains: Vec<String> = through.iter().map(|chain| format!("`{chain}`")).collect();
            format!("it lets pass what {} lets pass", chains.join(" and "))
        }
        Fate::Unknown(why) => format!("they come to {why}"),
    });
    format!("old ruleset, {was}; new ruleset, {now}")
}
