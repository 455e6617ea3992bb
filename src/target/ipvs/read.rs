//! `ipvsadm.rules` and `keepalived.conf` back as services; whatever is not understood is an error, never left out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::artifact::{Real, Service, Services};
use crate::net::Proto;

/// Why a file is not one that is understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Fault {
    /// The line, from 1; 0 for the end of the file.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

fn fault(line: usize, what: impl Into<String>) -> Fault {
    Fault { line, what: what.into() }
}

/// Reads what `ipvsadm-restore` would (ipvsadm(8)): `-A` a service, `-a` a real server of it.
///
/// # Errors
/// [`Fault`]: a line that is neither, a service said twice, a real server of none.
pub fn ipvsadm(text: &str) -> Result<Services, Fault> {
    let mut services = Services::new();
    for (line, words) in (1..).zip(text.lines()) {
        let words: Vec<&str> = words.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["-A", kind, at, "-s", scheduler] => {
                let key = service(line, kind, at)?;
                let new = Service { scheduler: (*scheduler).to_owned(), delay: None, reals: BTreeMap::new() };
                if services.insert(key, new).is_some() {
                    return Err(fault(line, "this service is said twice"));
                }
            }
            ["-a", kind, at, "-r", real, how, "-w", weight] => {
                let key = service(line, kind, at)?;
                let of = services.get_mut(&key).ok_or_else(|| fault(line, "there is no such service"))?;
                let direct = match *how {
                    "-g" => true,
                    "-m" => false,
                    other => return Err(fault(line, format!("`{other}` is neither -g nor -m"))),
                };
                let real: SocketAddr =
                    real.parse().map_err(|_| fault(line, format!("`{real}` is no address with a port")))?;
                let weight = number(line, weight)?;
                put(line, of, (real.ip(), real.port()), Real { direct, weight, check: None })?;
            }
            _ => return Err(fault(line, "neither a service nor a real server of one")),
        }
    }
    Ok(services)
}

fn service(line: usize, kind: &str, at: &str) -> Result<(Proto, IpAddr, u16), Fault> {
    let proto = match kind {
        "-t" => Proto::TCP,
        "-u" => Proto::UDP,
        other => return Err(fault(line, format!("`{other}` is neither -t nor -u"))),
    };
    let at: SocketAddr = at.parse().map_err(|_| fault(line, format!("`{at}` is no address with a port")))?;
    Ok((proto, at.ip(), at.port()))
}

fn put(line: usize, service: &mut Service, at: (IpAddr, u16), real: Real) -> Result<(), Fault> {
    match service.reals.insert(at, real) {
        None => Ok(()),
        Some(_) => Err(fault(line, "this real server is said twice")),
    }
}

fn number(line: usize, word: &str) -> Result<u32, Fault> {
    word.parse().map_err(|_| fault(line, format!("`{word}` is no number")))
}

/// Reads `keepalived.conf`: `virtual_server` blocks with `real_server` blocks in them, and nothing else.
///
/// # Errors
/// [`Fault`]: a word that is not known where it stands, one that is missing, or something said twice.
pub fn keepalived(text: &str) -> Result<Services, Fault> {
    let mut words = Words::new(text);
    let mut services = Services::new();
    while let Some((line, word)) = words.next() {
        if word != "virtual_server" {
            return Err(fault(line, format!("`{word}` is no virtual_server")));
        }
        let (addr, port) = (words.address()?, words.port()?);
        let (proto, service) = words.service()?;
        if services.insert((proto, addr, port), service).is_some() {
            return Err(fault(line, "this service is said twice"));
        }
    }
    Ok(services)
}

/// The words of a file with their lines; comments are to the end of theirs.
struct Words<'t> {
    words: std::vec::IntoIter<(usize, &'t str)>,
    last: usize,
}

/// A block of `real_server`: its line, its address and port, its weight and the seconds of its check.
type RealAt = (usize, (IpAddr, u16), (u32, Option<u32>));

impl<'t> Words<'t> {
    fn new(text: &'t str) -> Self {
        let of_line = |(line, text): (usize, &'t str)| {
            let text = text.split(['#', '!']).next().unwrap_or_default();
            text.split_whitespace().map(move |word| (line, word))
        };
        let words: Vec<_> = (1..).zip(text.lines()).flat_map(of_line).collect();
        Self { words: words.into_iter(), last: 0 }
    }

    fn next(&mut self) -> Option<(usize, &'t str)> {
        let found = self.words.next();
        self.last = found.map_or(0, |(line, _)| line);
        found
    }

    fn word(&mut self) -> Result<&'t str, Fault> {
        self.next().map(|(_, word)| word).ok_or_else(|| fault(0, "the file ends within a block"))
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Fault> {
        let found = self.word()?;
        if found == wanted {
            Ok(())
        } else {
            Err(fault(self.last, format!("`{found}` instead of `{wanted}`")))
        }
    }

    fn number(&mut self) -> Result<u32, Fault> {
        let word = self.word()?;
        number(self.last, word)
    }

    fn address(&mut self) -> Result<IpAddr, Fault> {
        let word = self.word()?;
        word.parse().map_err(|_| fault(self.last, format!("`{word}` is no address")))
    }

    fn port(&mut self) -> Result<u16, Fault> {
        let word = self.word()?;
        word.parse().map_err(|_| fault(self.last, format!("`{word}` is no port")))
    }

    /// A block of `virtual_server`.
    fn service(&mut self) -> Result<(Proto, Service), Fault> {
        self.expect("{")?;
        let (mut delay, mut scheduler, mut direct, mut proto) = (None, None, None, None);
        let mut reals: Vec<RealAt> = Vec::new();
        loop {
            let word = self.word()?;
            let line = self.last;
            let again = match word {
                "}" => break,
                "delay_loop" => delay.replace(self.number()?).is_some(),
                "lb_algo" => scheduler.replace(self.word()?.to_owned()).is_some(),
                "lb_kind" => {
                    let kind = match self.word()? {
                        "DR" => true,
                        "NAT" => false,
                        other => return Err(fault(line, format!("`{other}` is neither DR nor NAT"))),
                    };
                    direct.replace(kind).is_some()
                }
                "protocol" => {
                    let named = match self.word()? {
                        "TCP" => Proto::TCP,
                        "UDP" => Proto::UDP,
                        other => return Err(fault(line, format!("`{other}` is neither TCP nor UDP"))),
                    };
                    proto.replace(named).is_some()
                }
                "real_server" => {
                    let at = (self.address()?, self.port()?);
                    let real = self.real()?;
                    reals.push((line, at, real));
                    false
                }
                other => return Err(fault(line, format!("`{other}` is not known in a virtual_server"))),
            };
            if again {
                return Err(fault(line, format!("`{word}` is said twice")));
            }
        }
        let missing =
            |what: &str| fault(self.last, format!("no {what} in the virtual_server that ends here"));
        let scheduler = scheduler.ok_or_else(|| missing("lb_algo"))?;
        let direct = direct.ok_or_else(|| missing("lb_kind"))?;
        let proto = proto.ok_or_else(|| missing("protocol"))?;
        let mut service = Service { scheduler, delay, reals: BTreeMap::new() };
        for (line, at, (weight, check)) in reals {
            put(line, &mut service, at, Real { direct, weight, check })?;
        }
        Ok((proto, service))
    }

    /// A block of `real_server`: its weight, and how long it may be silent when it is looked at.
    fn real(&mut self) -> Result<(u32, Option<u32>), Fault> {
        self.expect("{")?;
        let (mut weight, mut check) = (None, None);
        loop {
            let word = self.word()?;
            let line = self.last;
            let again = match word {
                "}" => break,
                "weight" => weight.replace(self.number()?).is_some(),
                "TCP_CHECK" => {
                    self.expect("{")?;
                    self.expect("connect_timeout")?;
                    let timeout = self.number()?;
                    self.expect("}")?;
                    check.replace(timeout).is_some()
                }
                other => return Err(fault(line, format!("`{other}` is not known in a real_server"))),
            };
            if again {
                return Err(fault(line, format!("`{word}` is said twice")));
            }
        }
        let weight = weight.ok_or_else(|| fault(self.last, "no weight in the real_server that ends here"))?;
        Ok((weight, check))
    }
}
