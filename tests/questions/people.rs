//! What two sshds of one machine do differently: who logs in, and opens what; and what is said where that is not seen.

use fwc::target::sshd::artifact::Server;
use fwc::target::sshd::read;
use fwc::verify::logins::{What, logins};

use crate::common::{artifact, attempt, compiled, options, said};

const ANA: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGGL6DJm5x39vxhZVoGs2MbARNNm4qEaKntlYNUfkARo";
const EVA: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBWXXC1DaC4/06MBLkPD6unBJynV5jxMSRpg1KDYD2H";

fn policy() -> String {
    format!(
        "zone office {{ 10.0.1.0/24 }}\nzone servers {{ 10.0.2.0/24; 2001:db8:2::/64 }}\n\
         host gate {{ eth0 10.0.1.5 in office; eth1 10.0.2.5, 2001:db8:2::5 in servers; nftables }}\n\
         host web {{ eth0 10.0.2.9, 2001:db8:2::9 in servers; nftables }}\n\
         user ana {{ key \"{ANA}\"; until 2027-01-31 }}\n\
         allow ssh from office to gate.office as ana\nallow ssh from gate to web as ana\n"
    )
}

/// The files of the sshd of one machine, as texts to edit.
struct Files {
    config: String,
    ana: String,
}

impl Files {
    fn of(host: &str) -> Self {
        let compiled = compiled(&[("p.fw".to_owned(), policy())]);
        Self {
            config: artifact(&compiled, host, "ssh/00-fwc.conf").to_owned(),
            ana: artifact(&compiled, host, "ssh/authorized_keys/ana").to_owned(),
        }
    }

    fn server(&self) -> Server {
        let keys = [("ana".to_owned(), read::keys(&self.ana).unwrap())].into();
        Server { config: read::config(&self.config).unwrap(), keys }
    }

    /// What is told of them after an edit: changes in words, what is not compared last.
    fn after(&self, config: [&str; 2], ana: [&str; 2]) -> Vec<String> {
        assert!(self.config.contains(config[0]), "{}", self.config);
        assert!(self.ana.contains(ana[0]), "{}", self.ana);
        let new =
            Self { config: self.config.replace(config[0], config[1]), ana: self.ana.replace(ana[0], ana[1]) };
        told(Some(&self.server()), Some(&new.server()))
    }
}

fn told(old: Option<&Server>, new: Option<&Server>) -> Vec<String> {
    let found = logins(old, new, &[], options().at);
    let what = |what: What| match what {
        What::LogIn { shell: true } => "log in",
        What::LogIn { shell: false } => "come in",
        What::Shell => "shell",
        What::Open => "open",
    };
    let changes = found.changes.iter().map(|change| {
        let sign = if change.allowed { '+' } else { '-' };
        format!("{sign} {} {}", change.account, what(change.what))
    });
    changes.chain(found.uncompared.iter().map(|what| format!("? {what}"))).collect()
}

const AS_IS: [&str; 2] = ["", ""];

#[test]
fn a_machine_does_what_it_does_for_people_too() {
    for host in ["gate", "web"] {
        assert_eq!(Files::of(host).after(AS_IS, AS_IS), Vec::<String>::new());
    }
    assert_eq!(told(None, None), Vec::<String>::new());
}

#[test]
fn whence_until_when_and_whereto_are_compared() {
    let gate = Files::of("gate");
    let later = ["20270131235959Z", "20280131235959Z"];
    assert_eq!(gate.after(AS_IS, later), ["+ ana come in", "+ ana open"]);
    let earlier = ["20270131235959Z", "20260131235959Z"];
    assert_eq!(gate.after(AS_IS, earlier), ["- ana come in", "- ana open"]);
    let wider = ["from=\"", "from=\"192.0.2.0/24,"];
    assert_eq!(gate.after(AS_IS, wider), ["+ ana come in"]);
    // Configuration and line both must permit it.
    let line = ["permitopen=\"10.0.2.9:22\"", "permitopen=\"10.0.2.9:22\",permitopen=\"10.0.2.7:22\""];
    assert_eq!(gate.after(AS_IS, line), ["? what a key of `ana` may do: its lines have other options"]);
    let both = gate.after(["PermitOpen 10.0.2.9:22", "PermitOpen 10.0.2.9:22 10.0.2.7:22"], line);
    assert_eq!(both, ["+ ana open"]);
}

#[test]
fn a_shell_and_another_key_are_compared() {
    let gate = Files::of("gate");
    let shell = gate.after(["MaxSessions 0", "MaxSessions 10"], ["command=\"/usr/sbin/nologin\",", ""]);
    assert!(shell.contains(&"+ ana shell".to_owned()), "{shell:?}");
    let mut keys = gate.after(AS_IS, [ANA, EVA]);
    keys.sort();
    assert_eq!(keys, ["+ ana come in", "+ ana open", "- ana come in", "- ana open"]);
}

/// What the sets do not see is said where it is not the same.
#[test]
fn what_is_not_seen_is_not_taken_for_equal() {
    let web = Files::of("web");
    let said = |config, line| web.after(config, line).join("\n");
    let options = "? what a key of `ana` may do: its lines have other options";
    assert_eq!(said(AS_IS, ["restrict,pty,", "restrict,"]), options);
    let agent = said(["AllowAgentForwarding no", "AllowAgentForwarding yes"], AS_IS);
    assert!(agent.starts_with("? the setting `allowagentforwarding` of its sshd"), "{agent}");
    let password = said(["PasswordAuthentication no", "PasswordAuthentication yes"], AS_IS);
    assert!(password.contains("? who logs in otherwise than by a key (new, account `ana`)"), "{password}");
}

#[test]
fn an_sshd_that_is_told_nothing_any_more_is_not_known() {
    let server = Files::of("web").server();
    assert_eq!(told(None, Some(&server)), ["+ ana log in"]);
    assert_eq!(told(Some(&server), None), ["? who logs in: its sshd is told nothing any more"]);
}

/// The prover took an address of one family for somebody who opens addresses of that family alone, and refuted this.
#[test]
fn somebody_from_ipv4_opens_ipv6() {
    let (result, findings, sources) = attempt(&[("p.fw".to_owned(), policy())]);
    let report = result.unwrap_or_else(|| panic!("{}", said(&findings, &sources))).report;
    assert!(report.holds(), "{report:?}");
    let gate = Files::of("gate");
    assert!(gate.ana.contains("permitopen=\"[2001:db8:2::9]:22\""), "{}", gate.ana);
    let line = ["permitopen=\"[2001:db8:2::9]:22\",", ""];
    let fewer = gate.after([" [2001:db8:2::9]:22", ""], line);
    assert_eq!(fewer, ["- ana open"]);
}
