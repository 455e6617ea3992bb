//! The Linux kernel as third opinion: real packets through real rulesets, in network namespaces.
//!
//! Needs root (or `unshare -Urn`), `ip` and `nft`. Where they are missing the tests say so aloud and pass; with
//! `FWC_REQUIRE_KERNEL=1` they fail, so that they cannot pass by absence.

mod bench;
mod end_to_end;
mod facts;
mod sites;

/// Whether the kernel can be asked; if not, the test has nothing to say.
fn kernel() -> bool {
    match fwc::lab::netns::available() {
        Ok(()) => true,
        Err(why) => {
            assert!(
                std::env::var_os("FWC_REQUIRE_KERNEL").is_none_or(|v| v != "1"),
                "no kernel to ask: {why}"
            );
            println!("SKIPPED, nothing was tested: no kernel to ask: {why}");
            false
        }
    }
}
