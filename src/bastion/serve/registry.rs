//! Who is here: connections and their channels, each of which can be cut.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::admission::{Admission, Login};
use super::guarded::{Cut, Held};
use super::limits::Limits;

/// All connections, by number.
#[derive(Debug, Default)]
pub struct Registry {
    connections: Mutex<BTreeMap<u64, Arc<Connection>>>,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Its number in the audit log.
    pub id: u64,
    /// From where.
    pub peer: IpAddr,
    /// Since when.
    pub began: Instant,
    /// Ends it.
    pub cut: Cut,
    /// Who it said it is first.
    pub tried: OnceLock<String>,
    /// Who it is, once logged in.
    pub login: OnceLock<Login>,
    /// What its destinations did not take yet.
    pub held: Arc<Held>,
    channels: Mutex<Channels>,
    /// Wakes who waits until nothing is open.
    closed: Notify,
}

#[derive(Debug)]
struct Channels {
    open: BTreeMap<u64, Arc<Channel>>,
    next: u64,
    /// Since when there is none.
    unused: Instant,
}

/// One destination that is open.
#[derive(Debug)]
pub struct Channel {
    /// Its number in its connection.
    pub id: u64,
    /// Where it leads.
    pub to: (IpAddr, u16),
    /// Since when.
    pub began: Instant,
    /// Ends it.
    pub cut: Cut,
    /// Bytes from the client, and to it.
    pub bytes: (AtomicU64, AtomicU64),
    /// Milliseconds after it began at which something was carried last.
    used: AtomicU64,
}

impl Registry {
    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection.
    pub fn enter(&self, id: u64, peer: IpAddr) -> Arc<Connection> {
        let now = Instant::now();
        let channels = Mutex::new(Channels { open: BTreeMap::new(), next: 0, unused: now });
        let (tried, login) = (OnceLock::new(), OnceLock::new());
        let (cut, held, closed) = (Cut::default(), Arc::default(), Notify::new());
        let one = Arc::new(Connection { id, peer, began: now, cut, tried, login, held, channels, closed });
        self.connections().insert(id, Arc::clone(&one));
        one
    }

    /// A connection that is gone.
    pub fn leave(&self, id: u64) {
        self.connections().remove(&id);
    }

    /// Everybody who is here.
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.connections().values().cloned().collect()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.connections().is_empty()
    }

    /// Cuts whatever is not allowed (any more), and nothing else.
    pub fn cut_disallowed(&self, admission: &Admission, now: u64) {
        for connection in self.all() {
            let Some(login) = connection.login.get() else { continue };
            if !admission.holds(login, connection.peer, now) {
                connection.cut.now("no-longer-allowed");
                continue;
            }
            for channel in connection.channels() {
                if !admission.open(login, (connection.peer, now), channel.to) {
                    channel.cut.now("no-longer-allowed");
                }
            }
        }
    }

    /// Cuts whatever lived or idled too long.
    pub fn cut_idle(&self, limits: &Limits, lifetime: Duration) {
        for connection in self.all() {
            if connection.login.get().is_none() {
                // Until then the time to log in by has the say.
                continue;
            }
            if connection.began.elapsed() >= lifetime {
                connection.cut.now("lifetime");
            }
            let unused = connection.unused();
            if unused.is_some_and(|unused| unused >= limits.unused) {
                connection.cut.now("unused");
            }
            if let Some(idle) = limits.idle_channel {
                for channel in connection.channels().iter().filter(|channel| channel.idle() >= idle) {
                    channel.cut.now("idle");
                }
            }
        }
    }

    /// Ends who has nothing open, and everybody at the end.
    pub fn drain(&self, at_once: bool) {
        for connection in self.all() {
            if at_once || connection.unused().is_some() {
                connection.cut.now("server-stops");
            }
        }
    }
}

impl Connection {
    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new channel; none where there are as many as may be.
    pub fn open(&self, to: (IpAddr, u16), most: usize) -> Option<Arc<Channel>> {
        let mut channels = self.lock();
        if channels.open.len() >= most {
            return None;
        }
        let id = channels.next;
        channels.next = id.saturating_add(1);
        let (cut, bytes, used) = (Cut::default(), Default::default(), AtomicU64::new(0));
        let one = Arc::new(Channel { id, to, began: Instant::now(), cut, bytes, used });
        channels.open.insert(id, Arc::clone(&one));
        Some(one)
    }

    /// A channel that is closed.
    pub fn close(&self, id: u64) {
        let mut channels = self.lock();
        channels.open.remove(&id);
        channels.unused = Instant::now();
        self.closed.notify_waiters();
    }

    /// Ends when nothing is open any more.
    pub async fn empty(&self) {
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if self.lock().open.is_empty() {
                return;
            }
            closed.await;
        }
    }

    /// What is open.
    pub fn channels(&self) -> Vec<Arc<Channel>> {
        self.lock().open.values().cloned().collect()
    }

    /// How long nothing has been open; none where something is.
    pub fn unused(&self) -> Option<Duration> {
        let channels = self.lock();
        channels.open.is_empty().then(|| channels.unused.elapsed())
    }
}

impl Channel {
    /// Bytes were carried, from the client or to it.
    pub fn carried(&self, from_client: bool, bytes: usize) {
        let count = if from_client { &self.bytes.0 } else { &self.bytes.1 };
        count.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.used.store(self.age(), Ordering::Relaxed);
    }

    /// How long nothing was carried.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.age().saturating_sub(self.used.load(Ordering::Relaxed)))
    }

    fn age(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
