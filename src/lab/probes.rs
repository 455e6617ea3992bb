//! Tables of probes: packets in literal addresses, ports and protocol numbers, each with the verdict it must have.
//!
//! ```text
//! # a section: the comment above
//! SRC[:port] -> DST PROTO[/port|/type.code] STATE VERDICT [options]
//! 198.51.100.7:40000 -> 10.0.3.10 tcp/5432 new   drop
//! [2001:db8::7]:40000 -> 2001:db8:3::10 tcp/5432 new   drop
//! ```
//!
//! The packet goes end to end, from the machine (or the zone) that has the source. Verdicts: `accept`, `drop`, `reject`
//! of the first machine that does not accept it, `lost` where no way leads. Options: `at HOST HOOK [in IF] [out IF]` for
//! one point alone, and there `wrote DST[:port]` for a destination that was another before a translation; `ttl N`, `rst`.
//! To a group the packet goes to every machine in its sender's zone.

use std::net::{IpAddr, SocketAddr};

use crate::model::{Hook, Point, Site};
use crate::net::packet::tcp_flag;
use crate::net::{CtState, Interface, Packet, Proto, Tuple};

/// The verdicts that a line may state.
const VERDICTS: [&str; 4] = ["accept", "drop", "reject", "lost"];
/// The source port of a packet that does not say one.
const SOURCE_PORT: u16 = 40_000;

/// A line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its number, from one.
    pub line: usize,
    /// The comment above; empty where an empty line parts them.
    pub section: String,
    /// The line without its verdict, one blank between words.
    pub question: String,
    /// The packet; without interfaces where it goes end to end.
    pub packet: Packet,
    /// The one point that is asked; none for end to end.
    pub at: Option<Point>,
    /// `accept`, `drop`, `reject` or `lost`.
    pub stated: &'static str,
}

/// Reads a table.
///
/// # Errors
/// The number of the first line that is none, and why.
pub fn read(site: &Site, text: &str) -> Result<Vec<Probe>, (usize, String)> {
    let mut section = String::new();
    let mut probes = Vec::new();
    for (line, written) in (1..).zip(text.lines()) {
        let (said, comment) = written.split_once('#').unwrap_or((written, ""));
        if said.trim().is_empty() {
            comment.trim().clone_into(&mut section);
            continue;
        }
        let read = probe(site, said).map_err(|why| (line, why))?;
        probes.push(Probe { line, section: section.clone(), ..read });
    }
    Ok(probes)
}

fn probe(site: &Site, said: &str) -> Result<Probe, String> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let [src, "->", dst, proto, state, verdict, options @ ..] = words.as_slice() else {
        return Err("a probe is `SRC[:port] -> DST PROTO[/port|/type.code] STATE VERDICT`".to_owned());
    };
    let (src, sport) = source(src)?;
    let mut packet = header(src, address(dst)?, sport, proto)?;
    let known = CtState::ALL.into_iter().find(|known| known.keyword() == *state);
    packet.ct = known.ok_or_else(|| format!("`{state}` is no state of conntrack"))?;
    let stated = VERDICTS.into_iter().find(|known| known == verdict);
    let stated = stated.ok_or_else(|| format!("`{verdict}` is none of {}", VERDICTS.join(", ")))?;
    let at = self::options(site, options, &mut packet)?;
    let question: Vec<&str> = said.split_whitespace().collect();
    let question = question.iter().enumerate().filter(|(at, _)| *at != 5).map(|(_, word)| *word);
    let question = question.collect::<Vec<_>>().join(" ");
    Ok(Probe { line: 0, section: String::new(), question, packet, at, stated })
}

fn options(site: &Site, words: &[&str], packet: &mut Packet) -> Result<Option<Point>, String> {
    let mut at = None;
    let mut rest = words.iter().copied();
    while let Some(option) = rest.next() {
        let mut next = |what: &str| rest.next().ok_or_else(|| format!("`{option}` wants {what}"));
        match option {
            "at" => {
                let name = next("a machine and a hook")?;
                let host = site.host_named(name);
                let host = host.filter(|host| site.host(*host).is_some_and(crate::model::Host::filters));
                let host = host.ok_or_else(|| format!("no machine `{name}` filters"))?;
                let wanted = next("a machine and a hook")?;
                let hooks = [Hook::Input, Hook::Forward, Hook::Output];
                let hook = hooks.into_iter().find(|hook| hook.keyword() == wanted);
                let hook = hook.ok_or_else(|| format!("`{wanted}` is none of input, forward, output"))?;
                at = Some(Point::Hook { host, hook });
            }
            "in" => packet.iif = Interface::named(next("an interface")?),
            "out" => packet.oif = Interface::named(next("an interface")?),
            "wrote" => {
                let (dst, dport) = written(next("a destination")?, packet)?;
                packet.ct_status.dnat = true;
                packet.ct_original = Some(Tuple { src: packet.src, dst, sport: packet.sport, dport });
            }
            "ttl" => {
                let word = next("a number")?;
                packet.ttl = word.parse().map_err(|_| format!("`{word}` is no time to live, 0 to 255"))?;
            }
            "rst" => packet.tcp_flags = tcp_flag::RST | tcp_flag::ACK,
            other => return Err(format!("`{other}` is no option: at, in, out, wrote, ttl, rst")),
        }
    }
    let interfaces = packet.iif != Interface::Unset || packet.oif != Interface::Unset;
    if at.is_none() && (interfaces || packet.ct_status.dnat) {
        return Err("`in`, `out` and `wrote` say more of a point: `at HOST HOOK`".to_owned());
    }
    Ok(at)
}

/// A destination as it was written, with the port that the packet has where none is said.
fn written(text: &str, packet: &Packet) -> Result<(IpAddr, u16), String> {
    let (addr, port) = match text.parse::<SocketAddr>() {
        Ok(both) => (both.ip(), both.port()),
        Err(_) => (address(text)?, packet.dport),
    };
    if addr.is_ipv4() != packet.dst.is_ipv4() {
        return Err(format!("`{addr}` and `{}` are of different families", packet.dst));
    }
    Ok((addr, port))
}

fn source(text: &str) -> Result<(IpAddr, u16), String> {
    match text.parse::<SocketAddr>() {
        Ok(both) => Ok((both.ip(), both.port())),
        Err(_) => Ok((address(text)?, SOURCE_PORT)),
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address"))
}

fn header(src: IpAddr, dst: IpAddr, sport: u16, text: &str) -> Result<Packet, String> {
    if src.is_ipv4() != dst.is_ipv4() {
        return Err(format!("`{src}` and `{dst}` are of different families"));
    }
    let (name, detail) = text.split_once('/').unwrap_or((text, ""));
    let number = Proto::by_name(name).or_else(|| name.parse().ok().map(Proto));
    let number = number.ok_or_else(|| format!("`{name}` is no IP protocol"))?;
    let own_icmp = if src.is_ipv4() { Proto::ICMP } else { Proto::ICMPV6 };
    if number == own_icmp {
        let (kind, code) = detail.split_once('.').unwrap_or((detail, "0"));
        let (kind, code) = (kind.parse(), code.parse());
        let (Ok(kind), Ok(code)) = (kind, code) else {
            let ping = if src.is_ipv4() { 8 } else { 128 };
            return Err(format!("`{text}` says no type and code: `{name}/{ping}.0`"));
        };
        return Ok(Packet::icmp(src, dst, kind, code));
    }
    let port = if detail.is_empty() { Ok(0) } else { detail.parse() };
    let port = port.map_err(|_| format!("`{detail}` is no port, 0 to 65535"))?;
    Ok(Packet::new(src, dst, number, sport, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_sections_and_questions() {
        let text = "# head\n\n10.0.0.1 -> 10.0.0.2 tcp/80 new drop\n# one\n10.0.0.1:5 -> 10.0.0.2  icmp/8.0 new accept # why\n";
        let probes = read(&Site::default(), text).unwrap();
        let [first, second] = probes.as_slice() else { panic!("{probes:?}") };
        assert_eq!((first.line, first.section.as_str(), first.stated), (3, "", "drop"));
        assert_eq!(first.question, "10.0.0.1 -> 10.0.0.2 tcp/80 new");
        assert_eq!((second.section.as_str(), second.packet.icmp_type), ("one", 8));
        assert_eq!(first.packet.sport, SOURCE_PORT);
    }

    #[test]
    fn what_is_no_probe_is_said_with_its_line() {
        for (line, want) in [
            ("10.0.0.1 10.0.0.2", "a probe is"),
            ("here -> 10.0.0.2 tcp/80 new drop", "no address"),
            ("10.0.0.1 -> ::1 tcp/80 new drop", "different families"),
            ("10.0.0.1 -> 10.0.0.2 tcp/http new drop", "no port"),
            ("10.0.0.1 -> 10.0.0.2 icmp new drop", "no type"),
            ("10.0.0.1 -> 10.0.0.2 tpc/80 new drop", "no IP protocol"),
            ("10.0.0.1 -> 10.0.0.2 tcp/80 fresh drop", "no state"),
            ("10.0.0.1 -> 10.0.0.2 tcp/80 new allow", "none of accept"),
            ("10.0.0.1 -> 10.0.0.2 tcp/80 new drop at fw input", "no machine"),
            ("10.0.0.1 -> 10.0.0.2 tcp/80 new drop ttl many", "time to live"),
            ("10.0.0.1 -> 10.0.0.2 tcp/80 new drop in eth0", "a point"),
            ("10.0.0.1 -> 10.0.0.2 tcp/80 new drop soon", "no option"),
            ("10.0.0.1 -> 10.0.0.2 tcp/80 new drop wrote 10.0.0.9:81", "a point"),
            ("10.0.0.1 -> 10.0.0.2 tcp/80 new drop wrote ::9", "different families"),
        ] {
            let (number, why) = read(&Site::default(), &format!("\n{line}\n")).unwrap_err();
            assert!(number == 2 && why.contains(want), "{line}: {why}");
        }
    }
}
