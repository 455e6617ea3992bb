//! What one source, one key and one connection may use, as far as the configuration says it; the rest is asked for on the
//! command line.

use std::time::Duration;

use crate::target::sshd::artifact::Config;

/// Bounds of the configuration, each with sshd_config(5)'s keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `LoginGraceTime`: to log in, from the first byte.
    pub grace: Duration,
    /// `MaxStartups`, its last number: connections at a time that have not logged in. The random refusals that sshd begins
    /// before that are not made: below the bound everybody is let try.
    pub startups: u32,
    /// `PerSourceMaxStartups`: of those, from one address (IPv4) or /64 (IPv6).
    pub startups_per_source: u32,
    /// `MaxAuthTries`
    pub tries: u32,
    /// `ChannelTimeout *=N`: a channel that carries nothing for so long is closed.
    pub idle_channel: Option<Duration>,
    /// `UnusedConnectionTimeout`: a connection without a channel is closed after so long.
    pub unused: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(20),
            startups: 100,
            startups_per_source: 5,
            tries: 3,
            idle_channel: None,
            unused: Duration::from_secs(120),
        }
    }
}

impl Limits {
    /// What a configuration says; what it does not say is as usual.
    pub(super) fn read(config: &Config) -> Result<Self, String> {
        let usual = Self::default();
        let of = |keyword: &str| number(config, "", keyword);
        let startups = match config.effective("", "MaxStartups") {
            None => usual.startups,
            Some(said) => {
                let last = said.first().and_then(|text| text.rsplit(':').next());
                last.and_then(|text| text.parse().ok()).ok_or("`MaxStartups` is not `30:30:100`")?
            }
        };
        let idle_channel = match config.effective("", "ChannelTimeout") {
            None => None,
            Some([one]) => {
                let seconds = one.strip_prefix("*=").and_then(|text| text.parse().ok());
                Some(Duration::from_secs(seconds.ok_or("`ChannelTimeout` is not `*=SECONDS`")?))
            }
            Some(_) => return Err("`ChannelTimeout` is not `*=SECONDS`".to_owned()),
        };
        let seconds = |keyword: &str, usual: Duration| {
            of(keyword).map(|said| said.map_or(usual, |n| Duration::from_secs(u64::from(n))))
        };
        let grace = seconds("LoginGraceTime", usual.grace)?;
        Ok(Self {
            // sshd reads 0 as no bound; there is always one here.
            grace: if grace.is_zero() { usual.grace } else { grace },
            startups,
            startups_per_source: of("PerSourceMaxStartups")?.unwrap_or(usual.startups_per_source),
            tries: of("MaxAuthTries")?.unwrap_or(usual.tries).max(1),
            idle_channel,
            unused: seconds("UnusedConnectionTimeout", usual.unused)?,
        })
    }
}

/// A number of the configuration; an account's, or everybody's where the account is nobody's.
pub(super) fn number(config: &Config, account: &str, keyword: &str) -> Result<Option<u32>, String> {
    match config.effective(account, keyword) {
        None => Ok(None),
        Some([one]) => one.parse().map(Some).map_err(|_| format!("`{keyword} {one}` is no number")),
        Some(several) => Err(format!("`{keyword} {}` is no number", several.join(" "))),
    }
}
