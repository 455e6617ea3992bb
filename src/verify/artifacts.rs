//! What is proved: the rulesets of the machines and the security groups of a site, each as it was read back from its text.

use std::collections::BTreeMap;

use crate::model::{Hook, HostId};
use crate::target::aws::artifact::Estate;
use crate::target::nft::artifact::{self, Ruleset};
use crate::target::nft::{read, sim};

/// A machine's ruleset as it was read back from its text.
#[derive(Clone, Debug, Default)]
pub struct HostRules {
    /// The text.
    pub text: String,
    /// What it says.
    pub ruleset: Ruleset,
    /// Where in the text each rule and element stands.
    pub lines: read::Lines,
}

impl HostRules {
    /// The ruleset that a listing shows, whoever's it is: text or JSON of `nft list ruleset`, or a file for `nft -f`.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn listed(text: impl Into<String>) -> Result<Self, read::ReadError> {
        let (reading, text) = read::listing(text.into())?;
        Ok(Self { text, ruleset: reading.ruleset, lines: reading.lines })
    }

    /// The same, its dates taken as UTC: what `TZ=UTC nft list ruleset` prints. Without that nothing says their time zone,
    /// and what they decide is not known.
    #[must_use]
    pub fn in_utc(mut self) -> Self {
        read::dates_are_utc(&mut self.ruleset);
        self
    }

    /// Whether it has base chains at a hook.
    pub(super) fn has_chains_at(&self, hook: Hook) -> bool {
        let mut chains = self.ruleset.tables.iter().flat_map(|table| &table.chains);
        let at = hook_of(hook);
        chains.any(|chain| chain.base.as_ref().is_some_and(|base| sim::Spot::from(base.hook) == at))
    }
}

/// The artifacts of a site: the rulesets by machine, and the security groups.
#[derive(Clone, Debug, Default)]
pub struct Artifacts {
    /// By machine.
    pub hosts: BTreeMap<HostId, HostRules>,
    /// The security groups, once for each text that says them; the first is the one that packets are followed through.
    pub groups: Vec<GroupsText>,
}

impl Artifacts {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl std::ops::Deref for Artifacts {
    type Target = BTreeMap<HostId, HostRules>;

    fn deref(&self) -> &Self::Target {
        &self.hosts
    }
}

impl<'a> IntoIterator for &'a Artifacts {
    type Item = (&'a HostId, &'a HostRules);
    type IntoIter = std::collections::btree_map::Iter<'a, HostId, HostRules>;

    fn into_iter(self) -> Self::IntoIter {
        self.hosts.iter()
    }
}

impl std::ops::DerefMut for Artifacts {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.hosts
    }
}

/// Security groups as they were read back from one text.
#[derive(Clone, Debug)]
pub struct GroupsText {
    /// The name of the file in a build: `aws/security-groups.json`.
    pub file: String,
    /// The text.
    pub text: String,
    /// What it says.
    pub estate: Estate,
}

/// The hook of nftables.
pub fn hook_of(hook: Hook) -> sim::Spot {
    match hook {
        Hook::Prerouting => artifact::Hook::Prerouting.into(),
        Hook::Input => artifact::Hook::Input.into(),
        Hook::Forward => artifact::Hook::Forward.into(),
        Hook::Output => artifact::Hook::Output.into(),
        Hook::Postrouting => artifact::Hook::Postrouting.into(),
        Hook::Bridge => sim::Spot::BRIDGE,
    }
}
