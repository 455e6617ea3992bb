//! The laws of the nftables target, on random rulesets, and what real nft makes of what we print.

mod generate;
mod laws;
mod loads;
mod meaning;
