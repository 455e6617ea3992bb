//! What connections showed, as answers to four questions. Pure.
//!
//! *Input*: [`Observed`]. *Output*: an [`Answer`] for each question, of each user where users matter, and notes.
//!
//! *Design decisions*. What was not seen is never a pass. A list of methods is what the server claims for one user and one
//! address: the answer says which, and whether it was tried.

use super::algorithms::{self, Standing};
use super::pins::Pins;
use super::probe::{Seen, Stopped, Ways};
use super::tap::Ended;
use crate::bastion::keys::PublicKey;
use crate::bastion::keys::strength::{self, Weakness};
use crate::diag::{Code, code};

/// What a question comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is so.
    Pass,
    /// The server could not be judged.
    Inconclusive,
    /// The server turns this address away for now.
    Throttled,
    /// It is not so.
    Fail,
}

impl Verdict {
    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Throttled => "throttled",
            Self::Fail => "fail",
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Does a key alone let a user in?
    KeyOnly,
    /// Is its key sound, the same each time, and the one that it has to have?
    HostKey,
    /// Can nobody on the way take packets out (Terrapin)?
    StrictKex,
    /// Is nothing broken among its algorithms?
    Algorithms,
}

impl Question {
    /// In the order in which they are told.
    pub const ALL: [Self; 4] = [Self::KeyOnly, Self::HostKey, Self::StrictKex, Self::Algorithms];

    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::KeyOnly => "key-only",
            Self::HostKey => "host-key",
            Self::StrictKex => "strict-kex",
            Self::Algorithms => "algorithms",
        }
    }

    /// The page that says more.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::KeyOnly => code::AUDIT_KEY_ONLY,
            Self::HostKey => code::AUDIT_HOST_KEY,
            Self::StrictKex => code::AUDIT_STRICT_KEX,
            Self::Algorithms => code::AUDIT_ALGORITHMS,
        }
    }
}

/// A question and what it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// Of whom, where it is of a user.
    pub user: Option<String>,
    /// What it comes to.
    pub verdict: Verdict,
    /// Why; what the peer said is in it as it came.
    pub why: String,
}

/// All that was seen of a server.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Whether passwords were tried.
    pub active: bool,
    /// Whether somebody said where its pins are.
    pub pinned: Option<Pins>,
    /// The connections that asked for a user, in order.
    pub users: Vec<(String, Seen)>,
    /// Those that asked for a host key alone.
    pub others: Vec<Seen>,
    /// Why no connection was made at all.
    pub unresolved: Option<String>,
}

impl Observed {
    fn all(&self) -> impl Iterator<Item = &Seen> {
        self.users.iter().map(|(_, seen)| seen).chain(&self.others)
    }

    /// The lists of algorithms of the first connection that showed any.
    pub fn lists(&self) -> Option<&super::wire::KexInit> {
        self.all().find_map(|seen| seen.greeting.kexinit.as_ref())
    }

    /// Every host key that was seen, once, in the order in which they were.
    pub fn keys(&self) -> Vec<&PublicKey> {
        let mut keys = Vec::new();
        for key in self.all().filter_map(|seen| seen.host_key.as_ref()) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// Why the first connection that went no further did not.
    fn stopped(&self) -> (Verdict, String) {
        if let Some(why) = &self.unresolved {
            return (Verdict::Inconclusive, why.clone());
        }
        let stopped = self.all().find_map(stop_of);
        stopped.unwrap_or((Verdict::Inconclusive, "it was not asked".to_owned()))
    }
}

/// The answers to all questions, in order.
#[must_use]
pub fn judge(seen: &Observed, users: &[String]) -> (Vec<Answer>, Vec<String>) {
    let mut notes = Vec::new();
    let mut answers: Vec<Answer> = users.iter().map(|user| key_only(seen, user)).collect();
    let mut put = |question, (verdict, why)| answers.push(Answer { question, user: None, verdict, why });
    put(Question::HostKey, host_key(seen, &mut notes));
    put(Question::StrictKex, strict_kex(seen, &mut notes));
    put(Question::Algorithms, weak(seen, &mut notes));
    (answers, notes)
}

fn key_only(seen: &Observed, user: &str) -> Answer {
    let of_user = seen.users.iter().find(|(name, _)| name == user).map(|(_, seen)| seen);
    // What it said before it ended counts; what it did not say is not known.
    let told = |one: &&Ways| !one.methods.is_empty() || !one.let_in.is_empty();
    let (verdict, why) = match of_user {
        None => seen.stopped(),
        Some(one) => match (one.ways.as_ref().filter(told), stop_of(one)) {
            (Some(ways), _) => ways_of(ways, seen.active, one.stopped.as_ref()),
            (None, Some(stopped)) => stopped,
            (None, None) => (Verdict::Inconclusive, "offers no method that is known here".to_owned()),
        },
    };
    Answer { question: Question::KeyOnly, user: Some(user.to_owned()), verdict, why }
}

fn ways_of(ways: &Ways, active: bool, stopped: Option<&Stopped>) -> (Verdict, String) {
    if let Some(way) = ways.let_in.first() {
        let what = match *way {
            "none" => "nothing at all",
            "password" => "a random password",
            _ => "a random answer to keyboard-interactive",
        };
        return (Verdict::Fail, format!("{what} let it in"));
    }
    let keyless: Vec<&str> = ways.methods.iter().copied().filter(|method| *method != "publickey").collect();
    if !keyless.is_empty() {
        return (Verdict::Fail, format!("offers {}", keyless.join(", ")));
    }
    if let Some(way) = ways.answered.first() {
        return (Verdict::Fail, format!("takes {way}, which it does not offer"));
    }
    match (active, stopped) {
        (false, _) => (Verdict::Pass, "offers publickey alone; not tried".to_owned()),
        (true, None) => (
            Verdict::Pass,
            "offers publickey alone; a random password and keyboard-interactive were refused".to_owned(),
        ),
        (true, Some(_)) => {
            (Verdict::Inconclusive, "offers publickey alone; it ended when passwords were tried".to_owned())
        }
    }
}

fn host_key(seen: &Observed, notes: &mut Vec<String>) -> (Verdict, String) {
    let keys = seen.keys();
    let shown = |key: &PublicKey| format!("{} {}", key.kind().word(), key.fingerprint());
    if keys.is_empty() {
        return seen.stopped();
    }
    for (at, key) in keys.iter().enumerate() {
        if let Some(other) = keys.iter().skip(at.saturating_add(1)).find(|other| other.kind() == key.kind()) {
            let why = format!("it changes from one connection to the next: {}, {}", shown(key), shown(other));
            return (Verdict::Fail, why);
        }
    }
    for key in &keys {
        for weakness in strength::weaknesses(key) {
            let why = match weakness {
                // Nobody breaks it today; what is signed is a moment's worth (BSI TR-02102-4 asks for 3,000 bits).
                Weakness::Short { bits } if bits >= 2048 => {
                    notes.push(format!("host key {}: {bits} bits, fewer than 3072", shown(key)));
                    continue;
                }
                Weakness::Short { bits } => format!("{bits} bits"),
                Weakness::Exponent => "its exponent is small or even".to_owned(),
                Weakness::Factor(prime) => format!("{prime} divides it"),
                Weakness::ClosePrimes => "its primes are close to one another".to_owned(),
                Weakness::Roca => "made by the Infineon library (ROCA, CVE-2017-15361)".to_owned(),
            };
            return (Verdict::Fail, format!("{} is weak: {why}", shown(key)));
        }
    }
    let all = keys.iter().map(|key| shown(key)).collect::<Vec<_>>().join(", ");
    // Asked for all of its keys, and for the first one again: what was not seen is not said to be well.
    let unseen = match seen.active {
        true if seen.others.is_empty() || seen.all().any(|one| one.stopped.is_some()) => Some(seen.stopped()),
        true | false => None,
    };
    let sound = |said: &str| match unseen {
        Some((verdict, why)) => (verdict, format!("{all}{said}; not all of its keys were seen: {why}")),
        None => (Verdict::Pass, format!("{all}{said}")),
    };
    let Some(pins) = &seen.pinned else { return sound("; compared with no pin") };
    if let Some(key) = keys.iter().find(|key| pins.revoked.contains(key)) {
        return (Verdict::Fail, format!("{} is revoked", shown(key)));
    }
    if pins.keys.is_empty() {
        return (Verdict::Inconclusive, format!("{all}; no pin names this server"));
    }
    let wrong = keys
        .iter()
        .find(|key| !pins.keys.contains(key) && pins.keys.iter().any(|pin| pin.kind() == key.kind()));
    let none = keys.iter().all(|key| !pins.keys.contains(key));
    if let Some(key) = wrong.or(keys.first().filter(|_| none)) {
        let pinned = pins.keys.iter().map(shown).collect::<Vec<_>>().join(", ");
        return (Verdict::Fail, format!("{}; pinned is {pinned}", shown(key)));
    }
    for key in keys.iter().filter(|key| !pins.keys.contains(key)) {
        notes.push(format!("host key {}: no pin of its type", shown(key)));
    }
    sound(", as pinned")
}

fn strict_kex(seen: &Observed, notes: &mut Vec<String>) -> (Verdict, String) {
    let Some(lists) = seen.lists() else { return seen.stopped() };
    if seen.keys().is_empty() {
        // A key exchange that ends well signs for the lists too.
        notes.push("its lists of algorithms are as they came: no key exchange signed for them".to_owned());
    }
    if lists.is_strict() {
        return (Verdict::Pass, "strict key exchange".to_owned());
    }
    match algorithms::terrapin(lists) {
        open if open.is_empty() => {
            notes.push("no strict key exchange, and no cipher that needs it (Terrapin)".to_owned());
            (Verdict::Pass, "no cipher that Terrapin reaches".to_owned())
        }
        open => {
            let why = format!("Terrapin (CVE-2023-48795): no strict key exchange, with {}", open.join(", "));
            (Verdict::Fail, why)
        }
    }
}

fn weak(seen: &Observed, notes: &mut Vec<String>) -> (Verdict, String) {
    let Some(lists) = seen.lists() else { return seen.stopped() };
    let (mut broken, mut unknown) = (Vec::new(), Vec::new());
    for (role, name) in algorithms::offered(lists) {
        match algorithms::standing(role, name) {
            Standing::Broken(why) => broken.push(format!("{} {name}: {why}", role.name())),
            Standing::Weak(why) => notes.push(format!("{} {name}: {why}", role.name())),
            Standing::Unknown => unknown.push(format!("{} {name}", role.name())),
            Standing::Good => {}
        }
    }
    if !lists.exchanges().any(algorithms::outlasts_quantum) {
        notes.push("no post-quantum key exchange: what is recorded today may be read one day".to_owned());
    }
    if !broken.is_empty() {
        return (Verdict::Fail, broken.join("; "));
    }
    if !unknown.is_empty() {
        return (Verdict::Inconclusive, format!("not known here: {}", unknown.join(", ")));
    }
    (Verdict::Pass, "nothing broken is offered".to_owned())
}

/// Why a connection went no further, and whether that is the server's way of turning somebody away.
pub fn stop_of(seen: &Seen) -> Option<(Verdict, String)> {
    let stopped = seen.stopped.as_ref()?;
    let greeting = &seen.greeting;
    let says = |words: &str| greeting.lines.iter().any(|line| line.contains(words));
    if says("Not allowed at this time") {
        let why = "it says `Not allowed at this time`: this address is penalised (PerSourcePenalties)";
        return Some((Verdict::Throttled, why.to_owned()));
    }
    if says("Exceeded MaxStartups") {
        let why = "it says `Exceeded MaxStartups`: too many others are logging in";
        return Some((Verdict::Throttled, why.to_owned()));
    }
    let stage = match (&greeting.identification, &greeting.kexinit, &seen.host_key) {
        (None, ..) => "before it said what it is",
        (_, None, _) => "before its lists of algorithms",
        (.., None) => "during the key exchange",
        (.., Some(_)) => "after the key exchange",
    };
    let inconclusive = |why: String| Some((Verdict::Inconclusive, why));
    if let Some(words) = &greeting.disconnect {
        return inconclusive(format!("it ended the connection: `{words}`"));
    }
    if let Some(fault) = &greeting.fault {
        return inconclusive(fault.to_string());
    }
    match stopped {
        Stopped::Unreachable(why) => inconclusive(format!("no connection: {why}")),
        Stopped::Late => inconclusive(format!("its time was up {stage}")),
        Stopped::NothingInCommon(kind) => {
            let theirs = greeting.kexinit.as_ref().filter(|_| kind == "kex");
            let theirs = theirs.map_or_else(String::new, |lists| {
                format!(": it has {}", lists.exchanges().collect::<Vec<_>>().join(", "))
            });
            let what = if kind == "kex" { "key exchange" } else { kind.as_str() };
            inconclusive(format!("no {what} that it has is known here{theirs}"))
        }
        // Nothing but an end: how servers turn somebody away who has been there too often.
        Stopped::Ended(Ended::Closed | Ended::Reset)
            if greeting.identification.is_none() && greeting.lines.is_empty() =>
        {
            Some((Verdict::Throttled, "it ended the connection before it said anything".to_owned()))
        }
        Stopped::Ended(Ended::Closed) => inconclusive(format!("it ended the connection {stage}")),
        Stopped::Ended(Ended::Reset) => inconclusive(format!("it reset the connection {stage}")),
        Stopped::Ended(Ended::TooMuch) => inconclusive(format!("it sent without end, {stage}")),
        Stopped::Ended(Ended::Fault(fault)) => inconclusive(fault.to_string()),
        Stopped::Ended(Ended::Failed(why)) => inconclusive(format!("{why}, {stage}")),
        Stopped::Broken(why) => inconclusive(format!("{why}, {stage}")),
    }
}
