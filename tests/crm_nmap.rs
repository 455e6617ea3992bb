//! nmap on a client of the CRM, in the running site: what the original asks for (SYN to every port, *open* or *filtered*), and
//! the table of it in `policies/crm/README.md` (`INSTA_UPDATE=always` writes it anew).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a scan that cannot be read fails the test")]
#![allow(clippy::disallowed_methods, reason = "runs the program, and reads the checkout")]
#![allow(clippy::print_stdout, reason = "says aloud what it skips")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use common::{kernel, kernel_required, root};

const README: &str = "policies/crm/README.md";
const MARKS: (&str, &str) = ("<!-- nmap -->\n```text\n", "```\n<!-- /nmap -->");

/// No names, one more try for what is lost, and the ports of this site with two that nobody has.
const SCAN: &str = "nmap -n -T4 --max-retries 1 -p 22,80,443,3000,5432,5666,8001,24007,49152";
const PLAIN: [&str; 3] = ["10.1.2.2", "10.1.5.51", "10.1.5.52"];
/// The balancer, GES, Nagios; the firewall; a web server by both nets, a store and the database by the management net.
const TOLD: [&str; 8] =
    ["10.1.2.2", "10.1.5.51", "10.1.5.52", "10.1.1.1", "10.1.3.11", "10.1.5.11", "10.1.5.21", "10.1.5.31"];

/// The two scans, once for all tests; none where they cannot be made.
static SCANS: LazyLock<Option<[String; 2]>> = LazyLock::new(|| {
    let nmap = Command::new("nmap").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(nmap || !kernel_required(), "nmap is not here: `make tools` installs it");
    if !nmap {
        println!("SKIPPED, nothing was tested: nmap is not here");
        return None;
    }
    if !kernel() {
        return None;
    }
    let script = format!("{SCAN} {}; echo; echo ----; {SCAN} -Pn {}", PLAIN.join(" "), TOLD.join(" "));
    let output = Command::new(env!("CARGO_BIN_EXE_fwc"))
        .args(["lab", "policies/crm", "--shell", "c1", "--", "sh", "-c", &script])
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let (plain, told) = said.split_once("----\n").unwrap();
    Some([plain.to_owned(), told.to_owned()])
});

/// The state of each port by host, as nmap names both.
fn states(scan: &str) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    let mut hosts: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut host = "";
    for line in scan.lines() {
        let mut words = line.split_whitespace();
        if let Some(name) = line.strip_prefix("Nmap scan report for ") {
            host = name;
            hosts.insert(host, BTreeMap::new());
        } else if let (Some(port), Some(state)) = (words.next(), words.next())
            && port.ends_with("/tcp")
        {
            hosts.get_mut(host).unwrap().insert(port, state);
        }
    }
    hosts
}

fn open<'s>(hosts: &BTreeMap<&'s str, BTreeMap<&'s str, &'s str>>, host: &str) -> Vec<&'s str> {
    let ports = hosts.get(host).unwrap_or_else(|| panic!("{host} is not in {hosts:?}"));
    assert_eq!(ports.len(), 9, "{host}");
    assert!(ports.values().all(|state| ["open", "filtered"].contains(state)), "{host}: {ports:?}");
    ports.iter().filter(|(_, state)| **state == "open").map(|(port, _)| *port).collect()
}

#[test]
fn nmap_sees_open_what_the_original_opens_and_filtered_all_else() {
    let Some([_, told]) = SCANS.as_ref() else { return };
    let hosts = states(told);
    assert_eq!(open(&hosts, "10.1.2.2"), ["80/tcp"], "the balancer");
    assert_eq!(open(&hosts, "10.1.5.51"), ["22/tcp"], "GES");
    assert_eq!(open(&hosts, "10.1.5.52"), ["80/tcp"], "Nagios");
    for shut in TOLD.iter().skip(3) {
        assert_eq!(open(&hosts, shut), [""; 0], "{shut}");
    }
}

#[test]
fn plain_nmap_misses_ges() {
    let Some([plain, _]) = SCANS.as_ref() else { return };
    let hosts = states(plain);
    assert_eq!(hosts.keys().copied().collect::<Vec<_>>(), ["10.1.2.2", "10.1.5.52"]);
    assert!(plain.contains("3 IP addresses (2 hosts up)"), "{plain}");
}

#[test]
fn the_readme_shows_the_scans() {
    let Some([plain, told]) = SCANS.as_ref() else { return };
    let mut found = String::new();
    for (scan, options, hosts) in [(plain, "", &PLAIN[..]), (told, " -Pn", &TOLD[..])] {
        let _ = writeln!(found, "$ {SCAN}{options} {}", hosts.join(" "));
        hosts.iter().for_each(|host| found += &in_one_line(scan, host));
        // Without how long it took.
        let done = scan.lines().find(|line| line.starts_with("Nmap done")).unwrap();
        let _ = writeln!(found, "{}", done.split(" scanned").next().unwrap());
    }
    let path = root().join(README);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(MARKS.0).unwrap();
    let (written, after) = rest.split_once(MARKS.1).unwrap();
    if std::env::var("INSTA_UPDATE").is_ok_and(|v| v == "always") {
        fs::write(&path, format!("{before}{}{found}{}{after}", MARKS.0, MARKS.1)).unwrap();
        return;
    }
    assert_eq!(written, found, "{README} shows another scan; INSTA_UPDATE=always writes it");
}

/// `10.1.2.2   open 80; filtered 22, 443`
fn in_one_line(scan: &str, host: &str) -> String {
    let hosts = states(scan);
    let Some(ports) = hosts.get(host) else { return format!("{host:10} is not in the report\n") };
    let mut by_state: BTreeMap<&str, Vec<u16>> = BTreeMap::new();
    for (port, state) in ports {
        by_state.entry(state).or_default().push(port.trim_end_matches("/tcp").parse().unwrap());
    }
    let told = |(state, mut ports): (&str, Vec<u16>)| {
        ports.sort_unstable();
        format!("{state} {}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "))
    };
    // From the back of the alphabet: what is open first.
    let told: Vec<String> = by_state.into_iter().rev().map(told).collect();
    format!("{host:10} {}\n", told.join("; "))
}
