//! `prove`: each artifact broken in one place is refuted, with a packet, and each way round is named (S62, S65).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;

use fwc::compile::Compiled;
use fwc::model::HostId;
use fwc::target::nft::read as nft;
use fwc::target::sshd::artifact::Server;
use fwc::target::sshd::read as sshd;
use fwc::verify::{
    Artifacts, Counterexample, Excuse, HostRules, Meanings, Outcome, PersonProof, Report, Servers,
};

use crate::common::{attempt, checked, compiled, folder, options, said};

const SITE: &str = "policies/starter-bastion";

/// The starter, with its files as texts to break.
struct Bench {
    compiled: Compiled,
    files: BTreeMap<(String, String), String>,
}

impl Bench {
    fn new() -> Self {
        Self::of(&folder(SITE))
    }

    fn of(texts: &[(String, String)]) -> Self {
        let compiled = compiled(texts);
        let files = compiled.hosts.iter().flat_map(|host| {
            host.files.iter().map(|(name, text)| ((host.name.clone(), name.clone()), text.clone()))
        });
        Self { files: files.collect(), compiled }
    }

    /// Replaces a text that has to be there.
    fn change(mut self, host: &str, file: &str, from: &str, to: &str) -> Self {
        let text = self.files.get_mut(&(host.to_owned(), file.to_owned())).unwrap();
        assert!(text.contains(from), "{file} of {host} has no `{from}`");
        *text = text.replace(from, to);
        self
    }

    fn prove(&self) -> Report {
        let (mut artifacts, mut servers) = (Artifacts::new(), Servers::new());
        for host in &self.compiled.hosts {
            let of = |name: &str| self.files[&(host.name.clone(), name.to_owned())].clone();
            let text = of("ruleset.nft");
            let reading = nft::read(&text).unwrap();
            artifacts.insert(host.host, HostRules { text, ruleset: reading.ruleset, lines: reading.lines });
            servers.insert(host.host, self.server(&host.name));
        }
        Meanings::of(&self.compiled.site).prove(&artifacts, &servers, options().at)
    }

    fn server(&self, host: &str) -> Server {
        let mut server = Server::default();
        for ((of, name), text) in &self.files {
            match name.strip_prefix("ssh/authorized_keys/") {
                Some(account) if of == host => {
                    server.keys.insert(account.to_owned(), sshd::keys(text).unwrap());
                }
                None if of == host && name == "ssh/00-fwc.conf" => {
                    server.config = sshd::config(text).unwrap()
                }
                _ => {}
            }
        }
        server
    }

    fn id(&self, host: &str) -> HostId {
        self.compiled.site.host_named(host).unwrap()
    }
}

fn refuted(proofs: &[PersonProof]) -> Vec<(&str, &Counterexample)> {
    proofs
        .iter()
        .filter_map(|proof| match &proof.outcome {
            Outcome::Refuted(example) => Some((proof.claim.as_str(), &**example)),
            Outcome::Holds | Outcome::Undecided { .. } => None,
        })
        .collect()
}

#[test]
fn the_starter_holds() {
    let report = Bench::new().prove();
    assert!(report.holds(), "{report:?}");
    // The gate, db and web: key-only each; ana and luis at the gate, ana at the two behind it, luis as a name at the third.
    assert!(report.people.len() >= 6 && report.bastions.jumps.len() == 2 && report.bastions.ways.is_empty());
}

#[test]
fn a_dropped_rule_stops_a_jump() {
    let line = "\t\t\t10.0.1.10 . 10.0.1.31 . tcp . 2222 comment \"allow ssh from gate to web, db as ana\" : accept,\n";
    for host in ["gate", "db"] {
        let report = Bench::new().change(host, "ruleset.nft", line, "").prove();
        let found = refuted(&report.bastions.jumps);
        let [(claim, example)] = found.as_slice() else { panic!("{host}: {found:?}") };
        assert!(claim.contains("`ana`"), "{claim}");
        assert_eq!((example.packet.dst.to_string(), example.packet.dport), ("10.0.1.31".to_owned(), 2222));
        assert!(example.hops.iter().any(|hop| hop.place.starts_with(host)), "{example:?}");
        assert!(!report.holds());
    }
}

#[test]
fn a_wider_permit_open_is_refuted_where_it_is_wider() {
    // Both must permit: one of them alone changes nothing.
    let config = |bench: Bench| {
        bench.change(
            "gate",
            "ssh/00-fwc.conf",
            "PermitOpen 10.0.1.21:22 10.0.1.31:2222",
            "PermitOpen 10.0.1.21:22 10.0.1.31:*",
        )
    };
    let line = |bench: Bench| {
        let (from, to) = ("permitopen=\"10.0.1.31:2222\"", "permitopen=\"10.0.1.31:*\"");
        bench.change("gate", "ssh/authorized_keys/ana", from, to)
    };
    assert!(config(Bench::new()).prove().holds());
    assert!(line(Bench::new()).prove().holds());
    let report = config(line(Bench::new())).prove();
    let found = refuted(&report.people);
    let [(claim, example)] = found.as_slice() else { panic!("{found:?}") };
    assert!(claim.contains("`ana` opens through `gate`"), "{claim}");
    assert_eq!(example.packet.dst.to_string(), "10.0.1.31");
    assert_ne!(example.packet.dport, 2222);
    // And the firewalls stop what sshd would now open.
    assert_eq!(refuted(&report.bastions.jumps).len(), 1);
}

#[test]
fn whatever_opens_an_sshd_is_refuted() {
    let conf = "ssh/00-fwc.conf";
    let keys = "ssh/authorized_keys/ana";
    type Change = (&'static str, &'static str, &'static str);
    let changes: [Change; 8] = [
        // In the guard and before it: one of the two alone stays shut, below.
        (conf, "PasswordAuthentication no", "PasswordAuthentication yes"),
        (conf, "KbdInteractiveAuthentication no", "KbdInteractiveAuthentication yes"),
        (conf, "AuthenticationMethods publickey", "AuthenticationMethods any"),
        (
            conf,
            "AuthorizedKeysFile /etc/ssh/fwc/authorized_keys/%u",
            "AuthorizedKeysFile .ssh/authorized_keys",
        ),
        (conf, "Match all", "Match Address 10.0.0.0/8"),
        (keys, "from=\"203.0.113.0/24\"", "from=\"203.0.112.0/23\""),
        (keys, "expiry-time=\"20270630235959Z\"", "expiry-time=\"20270701000000Z\""),
        (keys, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5BBBBI"),
    ];
    for (file, from, to) in changes {
        let report = Bench::new().change("gate", file, from, to).prove();
        assert!(!refuted(&report.people).is_empty(), "{from} -> {to}: {:?}", report.people);
    }
    // What the configuration runs comes before what the line runs.
    for (command, forced) in [("", "none"), (",command=\"/usr/sbin/nologin\"", "/bin/bash")] {
        let shell = Bench::new()
            .change("gate", keys, ",command=\"/usr/sbin/nologin\"", command)
            .change("gate", conf, "MaxSessions 0", "MaxSessions 10")
            .change("gate", conf, "ForceCommand /usr/sbin/nologin", &format!("ForceCommand {forced}"))
            .prove();
        assert_eq!(refuted(&shell.people)[0].1.reason.as_deref(), Some("they get a shell"));
    }
    // What stands before the guard does not count against it.
    let guarded = Bench::new()
        .change("gate", conf, "\nPasswordAuthentication no", "\nPasswordAuthentication yes")
        .prove();
    assert!(guarded.holds());
}

/// The command of a line is a guard where the configuration settles that nothing runs in its place, and nothing before it.
#[test]
fn a_command_of_a_line_that_other_files_may_beat_is_a_shell() {
    let mut texts = folder(SITE);
    texts[0].1.push_str(
        "user lab { key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGGL6DJm5x39vxhZVoGs2MbARNNm4qEaKntlYNUfkARo lab\"; account ana; until 2027-06-30 }\n\
         allow ssh from edge to gate.edge as lab\n",
    );
    let conf = "ssh/00-fwc.conf";
    assert!(Bench::of(&texts).prove().holds());
    for (from, to) in [
        ("    ForceCommand none\n", ""),
        ("    AcceptEnv LANG LC_*\n", ""),
        ("    AcceptEnv LANG LC_*\n", "    AcceptEnv LANG LC_* BASH_ENV\n"),
        ("\nMatch all\n", "\nMatch all\n    AcceptEnv *\n"),
    ] {
        let shell = Bench::of(&texts).change("gate", conf, from, to).prove();
        let found = refuted(&shell.people);
        let [(claim, example)] = found.as_slice() else { panic!("{from} -> {to}: {found:?}") };
        assert!(claim.contains("`ana` opens through `gate`"), "{claim}");
        assert_eq!(example.reason.as_deref(), Some("they get a shell"));
    }
}

#[test]
fn a_rule_that_lets_others_in_is_named() {
    let bench = Bench::new();
    let (gate, text) = (bench.id("gate"), "\t\tiifname vmap {");
    let wider = "\t\ttcp dport 22 accept\n\t\tiifname vmap {";
    let report = bench.change("gate", "ruleset.nft", text, wider).prove();
    let [way] = report.bastions.ways.as_slice() else { panic!("{:?}", report.bastions.ways) };
    assert_eq!((way.host, way.access, &way.excuse), (gate, None, &Excuse::None));
    assert_eq!(way.packet.dport, 22);
    assert!(
        way.rules
            .iter()
            .any(|(file, _, line)| file == "hosts/gate/ruleset.nft" && line == "tcp dport 22 accept"),
        "{way:?}"
    );
}

#[test]
fn a_statement_that_goes_round_is_an_error_unless_it_says_why() {
    let with = |line: &str| {
        let mut texts = folder(SITE);
        texts[0].1.push_str(line);
        let (compiled, findings, sources) = attempt(&texts);
        (compiled, said(&findings, &sources))
    };
    for line in [
        "allow ssh from edge to gate.edge\n",
        "allow tcp 1-1023 from edge to gate.edge\n",
        // Whatever its number: 2222 is the sshd of db.
        "allow tcp 2000-3000 from web to db\n",
    ] {
        let (compiled, findings) = with(line);
        assert!(findings.contains("round-the-bastion"), "{line}: {findings}");
        let report = compiled.unwrap().report;
        assert!(report.bastions.ways.iter().all(|way| way.excuse == Excuse::None) && !report.holds());
        let because = line.replace('\n', " { break-glass \"the console server\" }\n");
        let (compiled, findings) = with(&because);
        assert!(!findings.contains("round-the-bastion"), "{because}: {findings}");
        let report = compiled.unwrap().report;
        assert!(report.holds(), "{because}");
        assert_eq!(report.bastions.ways[0].excuse, Excuse::BreakGlass("the console server".to_owned()));
    }
    // What reaches no sshd is nobody's business.
    let (compiled, findings) = with("allow http from edge to gate.edge\n");
    assert!(compiled.unwrap().report.bastions.ways.is_empty() && findings.is_empty(), "{findings}");
}

#[test]
fn check_says_what_only_the_proof_and_an_sshd_find() {
    let mut wide = folder(SITE);
    wide[0].1.push_str("zone many { 10.8.0.0/20 }\nrouter r { a 10.0.1.2 in servers; b 10.8.0.1 in many }\n");
    wide[0].1.push_str("allow postgres from gate to many as ana\n");
    let mut round = folder(SITE);
    round[0].1.push_str("allow ssh from edge to gate.edge\n");
    for (code, texts) in [("unsupported-jump", wide), ("round-the-bastion", round)] {
        let (_, findings, sources) = attempt(&texts);
        let (found, _) = checked(&texts);
        assert!(found.contains(code), "{code}: {found}");
        assert_eq!(found, said(&findings, &sources));
    }
    // Where nobody logs in there is nothing that it could find, and nothing is proved.
    let (found, stages) = checked(&folder("policies/starter-firewall"));
    assert!(
        found.is_empty() && stages.contains(&"topology") && !stages.contains(&"prove"),
        "{found} {stages:?}"
    );
}

#[test]
fn a_translation_is_no_way_past() {
    let policy = |clause: &str| {
        format!(
            "zone world {{ rest }}\nzone lan {{ 10.0.1.0/24 }}\nfirewall fw {{ wan 203.0.113.1 in world; lan0 10.0.1.1 in lan }}\n\
             host gate {{ eth0 10.0.1.10 in lan; nftables; ssh port 2022; route world via fw.lan }}\n\
             user ana {{ key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBWXXC1DaC4/06MBLkPD6unBJynV5jxMSRpg1KDYD2H ana\"; until 2027-06-30 }}\n\
             sshd gate {{ idle 15m }}\nallow ssh from lan to gate as ana\n{clause}\n"
        )
    };
    let run = |clause: &str| {
        let (compiled, findings, sources) = attempt(&[("policy.fw".to_owned(), policy(clause))]);
        (compiled, said(&findings, &sources))
    };
    let (compiled, findings) = run("allow tcp 8022 from world to fw.world dnat to gate port 2022");
    assert!(findings.contains("round-the-bastion"), "{findings}");
    let report = compiled.unwrap().report;
    let [way] = report.bastions.ways.as_slice() else { panic!("{:?}", report.bastions.ways) };
    // As its sender writes it.
    assert_eq!((way.packet.dst.to_string(), way.packet.dport), ("203.0.113.1".to_owned(), 8022));
    // Named, it is a login like any other: from everywhere, by her key.
    let (compiled, findings) = run("allow tcp 8022 from world to fw.world dnat to gate port 2022 as ana");
    assert!(findings.is_empty(), "{findings}");
    assert!(compiled.unwrap().report.holds());
}
