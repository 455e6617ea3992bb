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

const NO_SHELL: &str = "\n    MaxSessions 0\n    PermitTTY no\n    ForceCommand /usr/sbin/nologin\n";

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
    let command = ["command=\"/usr/sbin/nologin\",", ""];
    let shell = gate.after([NO_SHELL, "\n"], command);
    assert!(shell.contains(&"+ ana shell".to_owned()), "{shell:?}");
    // What the configuration runs comes before what the line does not.
    let forced = gate.after(["MaxSessions 0", "MaxSessions 10"], command);
    assert_eq!(forced, ["? the setting `maxsessions` of its sshd for `ana`: `10`, before `0`"]);
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

/// Whoever a configuration names is asked about, with keys or without.
#[test]
fn who_gets_in_by_no_key_is_found_without_a_file_of_keys() {
    let gate = Files::of("gate");
    for block in [
        "PasswordAuthentication yes\n    AuthenticationMethods password",
        "AuthorizedKeysFile .ssh/authorized_keys",
        "AllowUsers bob\n    PasswordAuthentication yes\n    AuthenticationMethods password",
    ] {
        let mut new = Files::of("gate");
        new.config = gate.config.replacen("\nMatch ", &format!("\nMatch User bob\n    {block}\n\nMatch "), 1);
        let allowed = new.config.replace("AllowUsers ana", "AllowUsers ana bob");
        for config in [&new.config, &allowed] {
            let new = Files { config: config.clone(), ..Files::of("gate") };
            let all = told(Some(&gate.server()), Some(&new.server()));
            assert!(all[0].contains("otherwise than by a key (new, account `bob`)"), "{all:?}");
            // The other way round too, and of what is the same on both sides nothing.
            assert!(!told(Some(&new.server()), Some(&gate.server())).is_empty());
            assert_eq!(told(Some(&new.server()), Some(&new.server())), Vec::<String>::new());
        }
    }
}

#[test]
fn what_the_configuration_runs_beats_what_a_line_runs() {
    let gate = Files::of("gate");
    let forced = "\n    PermitTTY yes\n    ForceCommand /bin/bash\n";
    let said = gate.after([NO_SHELL, forced], AS_IS);
    for keyword in ["forcecommand", "maxsessions", "permittty"] {
        assert!(said.iter().any(|said| said.contains(keyword)), "{said:?}");
    }
    assert!(said.iter().any(|said| said.contains("other options")), "{said:?}");
    let timeout = ["UnusedConnectionTimeout 120", "UnusedConnectionTimeout none"];
    let said = gate.after(timeout, AS_IS);
    let whole = "? the setting `unusedconnectiontimeout` of its sshd for `ana`: `none`, before `120`";
    assert_eq!(said, [whole]);
    // Fewer sessions are no more of anything.
    assert_eq!(
        Files::of("web").after(["\nMatch all", "\nMatch User ana\n    MaxSessions 0\n\nMatch all"], AS_IS),
        ["- ana shell"]
    );
}

/// `none` and nothing said run the same, unless another file says more, and a line has a command that it would beat.
#[test]
fn what_is_left_to_the_lines_is_no_setting_more() {
    let [web, gate] = ["web", "gate"].map(Files::of);
    let left = "\nMatch User ana\n    ForceCommand none\n    AcceptEnv LANG LC_*\n\nMatch all";
    let settled = Files { config: web.config.replace("\nMatch all", left), ..Files::of("web") };
    assert_ne!(settled.config, web.config);
    for (old, new) in [(&web, &settled), (&settled, &web)] {
        assert_eq!(told(Some(&old.server()), Some(&new.server())), Vec::<String>::new());
    }
    // With a command in the line, no other file may say what runs, or what is before it.
    let with = |config: &str| {
        let config = config.replace(NO_SHELL, "\n");
        Files { config, ana: gate.ana.clone() }
    };
    let settled = gate.config.replace(
        NO_SHELL,
        &format!("{}\n", left.trim_end_matches("\n\nMatch all").trim_start_matches("\nMatch User ana")),
    );
    let [settled, open] = [with(&settled), with(&gate.config)];
    assert_eq!(told(Some(&open.server()), Some(&settled.server())), Vec::<String>::new());
    let said = told(Some(&settled.server()), Some(&open.server()));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("`acceptenv`") && said[1].contains("`forcecommand`"), "{said:?}");
}

/// A shell that one line loses says nothing of what another one runs.
#[test]
fn a_shell_more_or_less_hides_no_other_line() {
    let mut sides = [Files::of("web"), Files::of("web")];
    let line = sides[0].ana.lines().find(|line| line.contains("from=")).unwrap().to_owned();
    let other = line.replace("from=\"", "from=\"192.0.2.0/24,");
    let with =
        |command: &str| other.replace("restrict,pty,", &format!("restrict,pty,command=\"{command}\","));
    sides[0].ana = format!("{line}\n{}\n", with("/bin/true"));
    sides[1].ana =
        format!("{}\n{}\n", line.replace("restrict,pty,", "restrict,pty,command=\"/x\","), with("/bin/bash"));
    let [old, new] = [0, 1].map(|side| sides[side].server());
    assert_eq!(
        told(Some(&old), Some(&new)),
        ["- ana shell", "? what a key of `ana` may do: its lines have other options"]
    );
}

/// sshd adds them up.
#[test]
fn keywords_that_are_added_up_are_compared_with_all_that_they_say() {
    let web = Files::of("web");
    let users = web.after(["AllowUsers ana", "AllowUsers ana\nAllowUsers root"], AS_IS);
    assert_eq!(users, ["? the setting `AllowUsers root` of its sshd: it is not read here as sshd reads it"]);
    let port = ["\nMaxAuthTries", "\nPort 2222\nPort 22\nMaxAuthTries"];
    let one = ["\nMaxAuthTries", "\nPort 2222\nMaxAuthTries"];
    let [one, two] =
        [one, port].map(|edit| Files { config: web.config.replace(edit[0], edit[1]), ..Files::of("web") });
    let said = told(Some(&one.server()), Some(&two.server()));
    assert_eq!(said, ["? the setting `port` of its sshd: `2222`, `22`, before `2222`"]);
    // Who is denied is not read: that a key of theirs counts longer is not said either way.
    let denied = ["AllowUsers ana", "AllowUsers ana\nDenyUsers x\nDenyUsers ana"];
    let later = ["20270131235959Z", "20280131235959Z"];
    let said = web.after(denied, later);
    assert!(said.iter().all(|said| said.starts_with("? ")) && !said.is_empty(), "{said:?}");
}

/// What is not a word that fwc writes is compared with nothing, on whichever side it stands.
#[test]
fn other_words_of_a_setting_are_not_taken_for_narrower() {
    for (host, from, to) in [
        ("web", "AllowUsers ana", "AllowUsers *"),
        ("web", "AllowUsers ana", "AllowUsers ana*"),
        ("web", "AllowUsers ana", "AllowUsers ana@203.0.113.5"),
        ("web", "PubkeyAcceptedAlgorithms ", "PubkeyAcceptedAlgorithms *,"),
        ("web", "PubkeyAcceptedAlgorithms ", "PubkeyAcceptedAlgorithms ssh-rsa,"),
        ("web", "PermitRootLogin no", "PermitRootLogin forced-commands-only"),
        ("gate", "PermitOpen 10.0.2.9:22", "PermitOpen web.example:22 10.0.2.9:22"),
    ] {
        let (plain, mut odd) = (Files::of(host), Files::of(host));
        assert!(odd.config.contains(from), "{from}");
        odd.config = odd.config.replace(from, to);
        for (old, new) in [(&plain, &odd), (&odd, &plain)] {
            let said = told(Some(&old.server()), Some(&new.server()));
            assert!(said[0].contains("not read here as sshd reads it"), "{to}: {said:?}");
            assert!(said.iter().all(|said| said.starts_with("? ")), "{to}: {said:?}");
        }
    }
    // Capitals are the same word, and so is the older name.
    let gate = Files::of("gate");
    assert_eq!(
        gate.after(["AllowTcpForwarding local", "AllowTcpForwarding LOCAL"], AS_IS),
        Vec::<String>::new()
    );
    let root = |word: &str| {
        let config = gate.config.replace("PermitRootLogin no", &format!("PermitRootLogin {word}"));
        Files { config, ..Files::of("gate") }.server()
    };
    assert_eq!(told(Some(&root("prohibit-password")), Some(&root("without-password"))), Vec::<String>::new());
    let shut = Files {
        config: gate.config.replace("AllowTcpForwarding local", "AllowTcpForwarding no"),
        ..Files::of("gate")
    };
    let loud = Files {
        config: gate.config.replace("AllowTcpForwarding local", "AllowTcpForwarding Local"),
        ..Files::of("gate")
    };
    assert_eq!(told(Some(&shut.server()), Some(&loud.server())), ["+ ana open"]);
    let off = Files { config: format!("DisableForwarding Yes\n{}", gate.config), ..Files::of("gate") };
    assert_eq!(told(Some(&off.server()), Some(&gate.server())), ["+ ana open"]);
    assert!(read::config("AllowTcpForwarding = local\n").is_err());
}

/// A name on the old side is not whatever there is: what comes to be opened beyond it is not hidden.
#[test]
fn a_name_that_may_be_opened_hides_nothing() {
    let gate = Files::of("gate");
    let free = gate.ana.lines().map(|line| {
        let words = line.split(',').filter(|word| !word.starts_with("permitopen="));
        words.collect::<Vec<_>>().join(",")
    });
    let free = free.collect::<Vec<_>>().join("\n");
    let with = |to: &str| {
        let all = gate.config.lines().map(|line| match line.trim().strip_prefix("PermitOpen 10") {
            Some(_) => format!("    PermitOpen {to}"),
            None => line.to_owned(),
        });
        Files { config: all.collect::<Vec<_>>().join("\n"), ana: free.clone() }.server()
    };
    let said = told(Some(&with("web.example:22")), Some(&with("any")));
    assert_eq!(
        said,
        ["? the setting `PermitOpen web.example:22` of its sshd: it is not read here as sshd reads it"]
    );
}

/// Of several `expiry-time` sshd takes the earliest, and leaves out a line with a second `from` or `command`.
#[test]
fn an_option_that_is_said_twice_is_not_read() {
    let ana = Files::of("gate").ana;
    let line = ana.lines().last().unwrap();
    assert!(read::keys(line).is_ok());
    for (from, to) in [
        ("expiry-time=", "expiry-time=\"20260630235959Z\",expiry-time="),
        ("from=", "from=\"192.0.2.0/24\",from="),
        ("command=", "command=\"/bin/true\",command="),
        // Bits of hosts, words that are taken back, blanks that are none.
        ("from=\"", "from=\"10.9.9.9/8,"),
        ("restrict,port-forwarding,", "port-forwarding,restrict,"),
        ("restrict,", "\u{c}restrict,"),
        ("restrict,", "\u{3000}restrict,"),
        ("restrict,", "\u{b}restrict,"),
        (" ssh-ed25519 ", " ssh-ed25519\u{a0}"),
    ] {
        let other = line.replacen(from, to, 1);
        assert!(other != line && read::keys(&other).is_err(), "{other}");
    }
    assert!(read::config("AllowUsers\u{3000}ana\n").is_err());
}

#[test]
fn an_sshd_that_is_told_nothing_any_more_is_not_known() {
    let server = Files::of("web").server();
    assert_eq!(told(None, Some(&server)), ["+ ana log in"]);
    assert_eq!(told(Some(&server), None), ["? who logs in: its sshd is told nothing any more"]);
}

fn diff(place: &std::path::Path, old: &str, new: &str) -> (Option<i32>, String) {
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_fwc"))
        .args(["diff", "--deny-widening", "--at", "2026-11-21", old, new])
        .current_dir(place)
        .output()
        .unwrap();
    let said = [run.stdout, run.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (run.status.code(), said.join(""))
}

/// What is installed is the folder, not what the manifest lists of it.
#[test]
fn files_that_the_manifest_does_not_list_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::write(place.join("p.fw"), policy()).unwrap();
    for build in ["old", "new"] {
        let compile = ["compile", "--at", "2026-11-21", "-o", build, "p.fw"];
        let run =
            std::process::Command::new(env!("CARGO_BIN_EXE_fwc")).args(compile).current_dir(place).output();
        assert!(run.unwrap().status.success());
    }
    let keys = place.join("new/hosts/web/ssh/authorized_keys");
    let ana = std::fs::read_to_string(keys.join("ana")).unwrap();
    // An editor's file is that of no account.
    std::fs::write(keys.join(".ana.swp"), "no key").unwrap();
    std::fs::create_dir(keys.join("old.d")).unwrap();
    assert_eq!(diff(place, "old", "new").0, Some(0));
    std::fs::write(keys.join("eve"), ana.replace(ANA, EVA)).unwrap();
    let config = place.join("new/hosts/web/ssh/00-fwc.conf");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("AllowUsers ana", "AllowUsers ana eve")).unwrap();
    let (code, said) = diff(place, "old", "new");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("account eve logs in"), "{said}");
    std::fs::write(keys.join("eve"), "no key").unwrap();
    assert_eq!(diff(place, "old", "new").0, Some(2));
    // Listed, and not there.
    std::fs::remove_file(keys.join("eve")).unwrap();
    std::fs::remove_file(keys.join("ana")).unwrap();
    assert_eq!(diff(place, "old", "new").0, Some(2));
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
