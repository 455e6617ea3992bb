//! What `fwc verify --aws-live` says of interfaces beside its answer: nothing of it makes a group another one, and whoever reads
//! that the account is as the policy says has to know it all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::target::aws::artifact::{Estate, Interface};

/// A machine of the policy, and what the policy knows of it.
#[derive(Default)]
pub(super) struct Member<'m> {
    pub(super) machine: &'m str,
    /// Its private addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// Its public ones.
    pub(super) public: Vec<IpAddr>,
}

/// What is so of an interface.
pub(super) struct Beside {
    interface: String,
    machine: Option<String>,
    what: What,
}

enum What {
    /// Nobody of the policy has its addresses, and it wears groups of which the policy knows every member.
    Stranger { addresses: Vec<String>, wears: Vec<String> },
    /// A member has these addresses too.
    More(Vec<String>),
    /// A member is reached by these public addresses too.
    Reached(Vec<String>),
    /// A member is not reached by these, which the policy gives it.
    Unreached(Vec<String>),
    /// It need not send from its own addresses.
    Unchecked,
}

/// All of it, by interface. `members`: the interfaces at which machines were found; `closed`: the groups of whose members all
/// addresses are known.
pub(super) fn beside(
    live: &Estate,
    members: &BTreeMap<&str, Member<'_>>,
    closed: &BTreeSet<String>,
) -> Vec<Beside> {
    let mut all = Vec::new();
    for at in &live.interfaces {
        let member = members.get(at.id.as_str());
        let wears: Vec<String> =
            at.groups.iter().flatten().filter(|group| closed.contains(*group)).cloned().collect();
        let mut say = |what| {
            let machine = member.map(|member| member.machine.to_owned());
            all.push(Beside { interface: at.id.clone(), machine, what });
        };
        match member {
            None if wears.is_empty() => continue,
            None => say(What::Stranger { addresses: own(at, &[]), wears }),
            Some(known) => {
                let outer: Vec<IpAddr> = at.public.iter().map(|(_, outer)| IpAddr::V4(*outer)).collect();
                let without = |these: &[IpAddr], those: &[IpAddr]| -> Vec<String> {
                    these.iter().filter(|addr| !those.contains(addr)).map(ToString::to_string).collect()
                };
                let notes = [
                    (own(at, &known.addresses), What::More as fn(_) -> _),
                    (without(&outer, &known.public), What::Reached),
                    (without(&known.public, &outer), What::Unreached),
                ];
                for (addresses, what) in notes.into_iter().filter(|(addresses, _)| !addresses.is_empty()) {
                    say(what(addresses));
                }
            }
        }
        if at.source_dest_check == Some(false) {
            say(What::Unchecked);
        }
    }
    all
}

/// The private addresses of an interface, less those that are known.
fn own(at: &Interface, known: &[IpAddr]) -> Vec<String> {
    let addresses = at.addresses.iter().filter(|address| !known.contains(address)).map(ToString::to_string);
    let single = |net: &ipnet::IpNet| known.iter().any(|addr| ipnet::IpNet::from(*addr) == *net);
    let prefixes = at.prefixes.iter().filter(|net| !single(net)).map(ToString::to_string);
    addresses.chain(prefixes).collect()
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.interface;
        match &self.machine {
            Some(machine) => write!(f, "`{machine}` ({id}) ")?,
            None => write!(f, "{id} ")?,
        }
        match &self.what {
            What::Stranger { addresses, wears } => write!(
                f,
                "({}) wears {} and is no machine of the policy: what the policy says of who wears that holds for it too",
                addresses.join(", "),
                wears.join(", ")
            ),
            What::More(addresses) => write!(
                f,
                "has {} too, of which the policy knows nothing: its groups hold there as well",
                addresses.join(", ")
            ),
            What::Reached(addresses) => write!(
                f,
                "is reached by {} too, of which the policy knows nothing: what its groups admit comes to it there as well",
                addresses.join(", ")
            ),
            What::Unreached(addresses) => {
                write!(f, "is not reached by {}, which the policy gives it", addresses.join(", "))
            }
            What::Unchecked => {
                write!(f, "has no SourceDestCheck: it may send from addresses that are not its own")
            }
        }
    }
}

impl Beside {
    /// For programs.
    pub(super) fn json(&self) -> Value {
        let (what, addresses) = match &self.what {
            What::Stranger { addresses, .. } => ("stranger", addresses.as_slice()),
            What::More(addresses) => ("more-addresses", addresses.as_slice()),
            What::Reached(addresses) => ("more-public-addresses", addresses.as_slice()),
            What::Unreached(addresses) => ("fewer-public-addresses", addresses.as_slice()),
            What::Unchecked => ("no-source-dest-check", &[][..]),
        };
        json!({ "interface": self.interface, "machine": self.machine, "what": what, "addresses": addresses })
    }
}
