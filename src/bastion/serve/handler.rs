//! What one client asks for, and what it gets: a key is looked at, a destination is opened, everything else is refused and
//! written down.
//!
//! russh asks [`Asked`] one thing at a time. Its own answers where nothing is said are not relied on: each request that it
//! knows is refused here by name.

use std::net::IpAddr;
use std::sync::Arc;

use russh::keys::{Certificate, HashAlg, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel as SshChannel, ChannelId, ChannelOpenFailure, Pty, Sig};
use serde_json::{Value, json};

use super::House;
use super::admission::{Login, NotIn};
use super::audit::said;
use super::forward::forward;
use super::gate::Seat;
use super::registry::Connection;

/// Keys that may be offered before somebody has to be there: an agent has a few.
const MOST_OFFERS: u32 = 20;
/// Requests that may be refused before a connection ends: each is a line of the audit log.
const MOST_REFUSED: u32 = 1_000;

/// Why nobody is let in, and nothing opened, while the log takes no lines.
const NOT_WRITTEN: &str = "audit-log-does-not-take-lines";

/// One client.
pub(super) struct Asked {
    pub(super) house: Arc<House>,
    pub(super) connection: Arc<Connection>,
    pub(super) seat: Seat,
    pub(super) offers: u32,
    pub(super) refused: u32,
}

impl Drop for Asked {
    fn drop(&mut self) {
        // The session is over: so is what it carries.
        self.connection.cut.now("client-ended");
    }
}

impl Asked {
    async fn tell(&self, event: &str, facts: Value) {
        self.house.audit.told(event, self.of_this(facts)).await;
    }

    /// Whether the line is written, and what it says may happen.
    async fn written(&self, event: &str, facts: Value) -> bool {
        self.house.audit.written(event, self.of_this(facts)).await
    }

    fn of_this(&self, mut facts: Value) -> Value {
        if let Value::Object(map) = &mut facts {
            map.insert("conn".to_owned(), json!(self.connection.id));
            map.insert("peer".to_owned(), json!(self.connection.peer));
        }
        facts
    }

    /// Whoever tries under another name than before tries no more.
    async fn same_user(&self, user: &str) -> Result<(), russh::Error> {
        if self.connection.tried.get_or_init(|| user.to_owned()) == user {
            return Ok(());
        }
        self.tell("login-refused", json!({ "user": said(user), "reason": "another-user-than-before" })).await;
        self.end("another-user-than-before")
    }

    fn end<T>(&self, reason: &'static str) -> Result<T, russh::Error> {
        self.connection.cut.now(reason);
        Err(russh::Error::Disconnect)
    }

    async fn refuse_method(&self, user: &str, method: &str) -> Result<Auth, russh::Error> {
        self.same_user(user).await?;
        self.tell("login-refused", json!({ "user": said(user), "method": method, "reason": "keys-alone" }))
            .await;
        Ok(Auth::reject())
    }

    fn judge(
        &self,
        user: &str,
        key: &PublicKey,
        signed: &russh::keys::Algorithm,
    ) -> Result<(Login, usize), NotIn> {
        let admission = self.house.admission();
        admission.login((user, key, signed), self.connection.peer, super::clock().as_secs())
    }

    async fn refuse_key(&self, user: &str, key: &PublicKey, why: &str) {
        self.tell(
            "login-refused",
            json!({ "user": said(user), "method": "publickey", "reason": why, "key": fingerprint(key),
                "kind": key.algorithm().as_str() }),
        )
        .await;
    }

    /// What nobody gets.
    async fn refuse(&mut self, what: &str, detail: Option<&str>) {
        self.count_refusal();
        let user = self.connection.login.get().map(|login| said(&login.user));
        let detail = detail.map(said);
        self.tell("refused", json!({ "user": user, "what": what, "detail": detail })).await;
    }

    fn count_refusal(&mut self) {
        self.refused = self.refused.saturating_add(1);
        if self.refused > MOST_REFUSED {
            self.connection.cut.now("too-many-refusals");
        }
    }

    /// A request on a channel that nobody has: whoever sends it hears no.
    async fn refuse_on(
        &mut self,
        what: &str,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.refuse(what, None).await;
        session.channel_failure(channel)
    }

    /// Where somebody may go: an address that their key may open now, spelled as the files spell it. sshd compares texts, and
    /// what one of the two refuses the other refuses too.
    fn destination(&self, host: &str, port: u32) -> Result<(IpAddr, u16), &'static str> {
        let login = self.connection.login.get().ok_or("not-logged-in")?;
        let addr: IpAddr = host.parse().map_err(|_| "not-an-address")?;
        if addr.to_string() != host {
            return Err("another-spelling");
        }
        let port = u16::try_from(port).ok().filter(|port| *port > 0).ok_or("no-such-port")?;
        let when = (self.connection.peer, super::clock().as_secs());
        if self.house.admission().open(login, when, (addr, port)) {
            Ok((addr, port))
        } else {
            Err("not-allowed")
        }
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

impl Handler for Asked {
    type Error = russh::Error;

    // ---- who somebody is ---------------------------------------------------------------------------------

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Self::Error> {
        // Every client asks that first, to learn the methods.
        self.same_user(user).await?;
        Ok(Auth::reject())
    }

    async fn auth_password(&mut self, user: &str, _: &str) -> Result<Auth, Self::Error> {
        self.refuse_method(user, "password").await
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        _: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        self.refuse_method(user, "keyboard-interactive").await
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.same_user(user).await?;
        self.offers = self.offers.saturating_add(1);
        if self.offers > MOST_OFFERS {
            self.refuse_key(user, offer.public_key, "too-many-keys").await;
            return self.end("too-many-keys");
        }
        match self.judge(user, offer.public_key, offer.algorithm) {
            Ok(_) => Ok(Auth::Accept),
            Err(why) => {
                self.refuse_key(user, offer.public_key, why.word()).await;
                Ok(Auth::reject())
            }
        }
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.same_user(user).await?;
        let (login, line) = match self.judge(user, key.public_key, key.algorithm) {
            Ok(found) => found,
            Err(why) => {
                self.refuse_key(user, key.public_key, why.word()).await;
                return Ok(Auth::reject());
            }
        };
        if self.house.stops() {
            self.refuse_key(user, key.public_key, "server-stops").await;
            return Ok(Auth::reject());
        }
        if !self.seat.take(&login.key, self.house.bounds.per_key) {
            self.refuse_key(user, key.public_key, "too-many-connections-of-this-key").await;
            return Ok(Auth::reject());
        }
        let facts = json!({ "user": said(user), "key": fingerprint(key.public_key), "algorithm": key.algorithm.as_str(),
            "line": format!("authorized_keys/{user}:{line}") });
        if !self.written("login", facts).await {
            return self.end(NOT_WRITTEN);
        }
        let _ = self.connection.login.set(login);
        Ok(Auth::Accept)
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        let key = PublicKey::new(certificate.public_key().clone(), "");
        self.refuse_key(user, &key, NotIn::Certificate.word()).await;
        Ok(Auth::reject())
    }

    // ---- where they go -----------------------------------------------------------------------------------

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: SshChannel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let user = self.connection.login.get().map(|login| said(&login.user));
        let asked = format!("{}:{port}", said(host));
        let refused = |reason: &str| json!({ "user": user, "asked": asked, "reason": reason });
        let to = match self.destination(host, port) {
            Ok(to) => to,
            Err(reason) => {
                self.count_refusal();
                self.tell("open-refused", refused(reason)).await;
                reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
                return Ok(());
            }
        };
        if self.house.stops() {
            self.tell("open-refused", refused("server-stops")).await;
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let Some(one) = self.connection.open(to, self.house.bounds.channels) else {
            self.count_refusal();
            self.tell("open-refused", refused("too-many-channels")).await;
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let to = std::net::SocketAddr::from(to);
        if !self.written("open", json!({ "user": user, "channel": one.id, "to": to })).await {
            self.connection.close(one.id);
            self.tell("open-refused", refused(NOT_WRITTEN)).await;
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let (house, connection) = (Arc::clone(&self.house), Arc::clone(&self.connection));
        tokio::spawn(forward(house, connection, one, channel, reply));
        Ok(())
    }

    // ---- what nobody gets --------------------------------------------------------------------------------

    async fn channel_open_session(
        &mut self,
        _: SshChannel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("session", None).await;
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn channel_open_x11(
        &mut self,
        _: SshChannel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("x11", None).await;
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        _: SshChannel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("forwarded-tcpip", None).await;
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        _: SshChannel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("direct-streamlocal", Some(path)).await;
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_on("pty", channel, session).await
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_on("x11", channel, session).await
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_on("env", channel, session).await
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.refuse_on("shell", channel, session).await
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_on("exec", channel, session).await
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_on("subsystem", channel, session).await
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_on("window-change", channel, session).await
    }

    async fn agent_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<bool, Self::Error> {
        self.refuse_on("agent", channel, session).await?;
        Ok(false)
    }

    async fn signal(&mut self, _: ChannelId, _: Sig, _: &mut Session) -> Result<(), Self::Error> {
        self.refuse("signal", None).await;
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        _: &mut u32,
        _: &mut Session,
    ) -> Result<bool, Self::Error> {
        self.refuse("tcpip-forward", Some(address)).await;
        Ok(false)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        _: u32,
        _: &mut Session,
    ) -> Result<bool, Self::Error> {
        self.refuse("cancel-tcpip-forward", Some(address)).await;
        Ok(false)
    }

    async fn streamlocal_forward(&mut self, path: &str, _: &mut Session) -> Result<bool, Self::Error> {
        self.refuse("streamlocal-forward", Some(path)).await;
        Ok(false)
    }

    async fn cancel_streamlocal_forward(&mut self, path: &str, _: &mut Session) -> Result<bool, Self::Error> {
        self.refuse("cancel-streamlocal-forward", Some(path)).await;
        Ok(false)
    }
}
