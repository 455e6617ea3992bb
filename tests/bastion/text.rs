//! What is printed for an sshd is read back as it was meant, whatever is in it.

use fwc::compile::{Options, compile};
use fwc::diag::Findings;
use fwc::source::SourceMap;
use fwc::target::sshd::artifact::{Config, KeyLine, Scope, Section, Setting, Target, Version};
use fwc::target::sshd::{print, read, sim};
use proptest::prelude::*;

use crate::common::{Texts, options, said};

fn word() -> impl Strategy<Value = String> {
    "[a-z0-9_/%,.*:-]{1,12}"
}

fn target() -> impl Strategy<Value = Target> {
    let addr = prop_oneof![
        Just(None),
        any::<std::net::Ipv4Addr>().prop_map(|a| Some(a.into())),
        any::<std::net::Ipv6Addr>().prop_map(|a| Some(a.into())),
    ];
    (addr, proptest::option::of(any::<u16>())).prop_map(|(addr, port)| Target { addr, port })
}

fn line() -> impl Strategy<Value = KeyLine> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let net = any::<std::net::Ipv4Addr>().prop_map(|a| ipnet::IpNet::from(std::net::IpAddr::from(a)));
    let from = proptest::option::of(proptest::collection::vec(net, 1..3));
    // What `resolve` lets through of comments: printable ASCII but `"` and `\`.
    let comment = "[ !#-\\[\\]-~]{0,20}".prop_map(|c| c.split_whitespace().collect::<Vec<_>>().join(" "));
    let rest = (proptest::option::of("[a-z/]{1,9}"), proptest::collection::vec(target(), 0..4), comment);
    (flags, from, proptest::option::of(0u64..9_000_000_000), rest).prop_map(
        |((restrict, pty, port_forwarding), from, expiry, (command, permit_open, comment))| KeyLine {
            restrict,
            pty,
            port_forwarding,
            command,
            permit_open,
            from,
            expiry,
            key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5".to_owned(),
            comment,
            line: 0,
        },
    )
}

fn settings() -> impl Strategy<Value = Vec<Setting>> {
    let setting = (word(), proptest::collection::vec(word(), 1..3))
        .prop_filter("a section of its own", |(keyword, _)| !matches!(keyword.as_str(), "match" | "include"))
        .prop_map(|(keyword, arguments)| Setting { keyword, arguments });
    proptest::collection::vec(setting, 0..4)
}

fn config() -> impl Strategy<Value = Config> {
    let scope = prop_oneof![
        Just(Scope::All),
        proptest::collection::vec("[a-z]{1,6}", 1..3).prop_map(Scope::User),
        Just(Scope::Other("Address 10.0.0.0/8".to_owned())),
    ];
    let section = (scope, settings()).prop_map(|(scope, settings)| Section { scope, settings });
    (settings(), proptest::collection::vec(section, 0..3)).prop_map(|(settings, mut sections)| {
        sections.insert(0, Section { scope: Scope::Global, settings });
        Config { sections }
    })
}

proptest! {
    #[test]
    fn keys_are_read_as_they_are_printed(lines in proptest::collection::vec(line(), 0..4)) {
        // The first line is a comment.
        let written = (2usize..).zip(&lines).map(|(line, key)| KeyLine { line, ..key.clone() }).collect();
        prop_assert_eq!(read::keys(&print::keys(&lines)), Ok(written));
    }

    #[test]
    fn configurations_are_read_as_they_are_printed(config in config()) {
        prop_assert_eq!(read::config(&print::config(&config)), Ok(config));
    }

    /// Nothing that a text says lets anybody in without being understood; and nothing panics.
    #[test]
    fn what_is_not_understood_lets_nobody_in(text in "\\PC{0,80}") {
        if let Ok(config) = read::config(&text) {
            prop_assert!(!sim::loose(&config, "ana").is_empty());
        }
        let _ = read::keys(&text);
    }
}

/// OpenSSH before 9.1 passes over a line whose date ends with `Z`: whoever it lets in would be locked out.
#[test]
fn no_date_is_written_for_an_sshd_that_does_not_take_it() {
    let policy = |until: &str, access: &str| {
        format!(
            "zone lan {{ 10.0.1.0/24 }}\nhost gate {{ eth0 10.0.1.5 in lan }}\nhost st {{ eth0 10.0.1.6 in lan }}\n\
             user ana {{ key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBWXXC1DaC4/06MBLkPD6unBJynV5jxMSRpg1KDYD2H\"{until} }}\n\
             sshd gate {{ accept ed25519 }}\nallow ssh from st to gate as ana{access}\n"
        )
    };
    let by_person = policy("; until 2030-06-30", "");
    let by_statement = policy("", " { until 2030-06-30 }");
    for (text, oldest) in
        [(by_person, Version(9, 1)), (by_statement, Version(9, 1)), (policy("", ""), Version(8, 7))]
    {
        for version in [Version(8, 7), Version(9, 0), Version(9, 1), Version(9, 2)] {
            let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
            let root = sources.add("p.fw", &text);
            let options = Options { sshd: version, ..options() };
            let compiled =
                compile(&mut sources, &[root], &mut Texts::default(), &options, &mut findings, &|_| {});
            let told = said(&findings, &sources);
            assert_eq!(compiled.is_some() && !findings.has_errors(), version >= oldest, "{version}: {told}");
            assert_eq!(told.contains("unsupported-date"), version < oldest, "{version}: {told}");
        }
    }
}
