//! A dry run that is a real load: into a network namespace of its own, which nobody's packets come to.
//!
//! `nft -c` says yes to a jump loop and to the sixteenth jump, which the kernel refuses (tried). And what a namespace lists
//! is the form in which the same `nft` will list the live table, so the two can be compared.

use crate::lab::LabError;
use crate::lab::netns::Netns;
use crate::target::nft::artifact::Ruleset;

use super::live::{Nft, parsed};

/// Loads a text into a namespace of its own and returns our tables as nft lists them there.
///
/// # Errors
/// When no namespace can be made, or nft refuses the text.
pub fn load(nft: &Nft, text: &str) -> Result<Ruleset, LabError> {
    parsed(&listing(nft, text)?)
}

/// The same as text.
///
/// # Errors
/// As [`load`].
pub fn listing(nft: &Nft, text: &str) -> Result<String, LabError> {
    Netns::new()?.within(|| {
        nft.load(text)?;
        nft.own_text()
    })
}
