//! Managed prefix lists.

use ipnet::IpNet;

use crate::net::{AddrSet, Family};

use super::Tag;

/// A prefix list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixList {
    /// `PrefixListId`.
    pub id: String,
    /// `PrefixListName`.
    pub name: Option<String>,
    /// `AddressFamily`: a list has one.
    pub family: Option<Family>,
    /// `MaxEntries`: what a reference to the list counts, however many entries there are. AWS's own lists have none.
    pub max_entries: Option<u32>,
    /// `OwnerId`; `AWS` for its own lists.
    pub owner: Option<String>,
    /// `PrefixListArn`.
    pub arn: Option<String>,
    /// `State`.
    pub state: Option<String>,
    /// `Version`.
    pub version: Option<i64>,
    /// Its networks; none where nobody told.
    pub entries: Option<Vec<Entry>>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A network in a prefix list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The network.
    pub cidr: IpNet,
    /// Its `Description`.
    pub description: Option<String>,
}

impl PrefixList {
    /// Whether AWS keeps it.
    #[must_use]
    pub fn is_managed_by_aws(&self) -> bool {
        let named = self.name.as_deref().is_some_and(|name| name.starts_with("com.amazonaws."));
        self.owner.as_deref().map_or(named, |owner| owner == "AWS")
    }

    /// The addresses of its networks, where they are known.
    #[must_use]
    pub fn addresses(&self) -> Option<AddrSet> {
        let entries = self.entries.as_ref()?;
        let ranges = entries.iter().map(|entry| crate::net::AddrRange::net(entry.cidr));
        Some(AddrSet::from_ranges(ranges))
    }
}
