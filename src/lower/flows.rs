//! What is allowed, at every hook its path crosses (S20), and through its translation (S29, S30).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::cells::{Delivered, Header, Said, delivered, entries, headers, translated};
use super::mapped::{Mapped, Mapping, one_machine};
use super::pairs::{Legs, RawPair, wire};
use super::{Raw, replies};
use crate::ir::{Balancer, Bucket, Entry, Numbers, Put, SentOn};
use crate::model::{Access, AccessId, Action, Bridge, Hook, HostId, LegId, Site, Term};
use crate::net::addr::addr;
use crate::net::{AddrRange, AddrSet, Proto};
use crate::topology::reading::Own;
use crate::topology::translate::{self, Balanced, Dnat, Mask, Real, Source, receiver};
use crate::topology::{Bridged, Course, Crossing, Path, Topology, Transit, Way};

/// Adds the rules of every `allow`, and what it translates.
pub(super) fn allow(
    topology: &mut Topology<'_>,
    site: &Site,
    raw: &mut BTreeMap<(HostId, Hook), Raw>,
    mapped: &mut Mapped,
    balancers: &mut Balancers,
) {
    let forwards = site.hosts.iter().filter(|host| host.forwards()).flat_map(|host| &host.legs);
    let gateways = AddrSet::from_ranges(forwards.flat_map(|leg| &leg.addresses).copied().map(AddrRange::one));
    let (mut ways, mut buckets) = (Vec::new(), BTreeMap::new());
    for (id, access) in site.accesses().filter(|(_, a)| a.action == Action::Allow) {
        let headers = headers(&access.terms);
        let bucket = access.limit.or(access.meter).map(|_| Bucket {
            of: *buckets.entry(access.bucket()).or_insert(id),
            metered: access.limit.is_none(),
        });
        topology.each_way(access, &mut |way| ways.push(way));
        for way in &ways {
            if let Course::Balanced(balanced) = &way.course {
                told((site, access, id), &way.crossing, balanced, balancers);
            }
            let (headers, gateways) = (headers.as_slice(), &gateways);
            Flow { topology, site, raw, mapped, access, id, bucket, headers, gateways }.follow(way);
        }
        ways.clear();
    }
}

struct Flow<'f, 's> {
    topology: &'f Topology<'s>,
    site: &'s Site,
    raw: &'f mut BTreeMap<(HostId, Hook), Raw>,
    mapped: &'f mut Mapped,
    access: &'f Access,
    id: AccessId,
    /// Whose tokens its limit takes.
    bucket: Option<Bucket>,
    headers: &'f [Header],
    /// The addresses of all that forward.
    gateways: &'f AddrSet,
}

/// What directors are told, by director, address, protocol and port.
pub(super) type Balancers = BTreeMap<(HostId, IpAddr, Proto, u16), Balancer>;

/// What a director is told of a statement: a service for each address and port that clients write; it is none of its own (S43).
fn told(
    (site, access, id): (&Site, &Access, AccessId),
    crossing: &Crossing,
    balanced: &Balanced,
    all: &mut Balancers,
) {
    if crossing.src.is_subset(&site.static_addresses_of(balanced.at)) {
        return;
    }
    for term in access.terms.iter() {
        let Term::Ports { proto, to, .. } = term else { continue };
        for port in to.ranges().iter().flat_map(|&(first, last)| first..=last) {
            // Addresses of a leg that follow each other are one range.
            let each = |range: AddrRange| (range.first..=range.last).map(move |n| addr(range.family, n));
            for addr in crossing.dst.ranges().flat_map(each) {
                let reals = balanced.servers.iter().map(|r| (*r, balanced.port.unwrap_or(port))).collect();
                let (host, direct) = (balanced.at, balanced.direct);
                let one = Balancer { host, addr, proto: *proto, port, direct, reals, because: id };
                all.entry((host, addr, *proto, port)).or_insert(one);
            }
        }
    }
}

impl<'f> Flow<'f, '_> {
    fn follow(&mut self, way: &Way) {
        // A pair without a path, or without a place for its clause, has its error already: no rule comes of it.
        let Ok(path) = way.crossing.path.as_ref() else { return };
        match &way.course {
            Course::Plain => self.plain(&way.crossing, path),
            Course::Balanced(balanced) => {
                self.plain(&way.crossing, path);
                balanced.reals.iter().for_each(|real| self.shared(&way.crossing, balanced, real));
            }
            Course::Dnat(dnat) => self.dnat(&way.crossing, path, dnat),
            Course::Source(source) => self.source(&way.crossing, path, source),
            Course::Unserved | Course::Nowhere => {}
        }
    }

    fn plain(&mut self, crossing: &Crossing, path: &Path) {
        self.sent(crossing);
        self.passed(&path.transits, (&crossing.src, &crossing.dst));
        self.bridged(path, (&crossing.src, &crossing.dst));
        self.taken(crossing, path, (&crossing.src, &crossing.dst));
    }

    /// At the output hooks where it starts.
    fn sent(&mut self, crossing: &Crossing) {
        for own in &crossing.senders {
            let legs = (None, Some(own.leg));
            self.add((own.host, Hook::Output), legs, (&own.addrs, &crossing.dst), self.headers);
        }
    }

    /// At the forward hooks of machines on the way.
    fn passed(&mut self, transits: &[Transit], ends: (&AddrSet, &AddrSet)) {
        for transit in transits {
            let legs = (Some(transit.inward), Some(transit.outward));
            self.add((transit.host, Hook::Forward), legs, ends, self.headers);
        }
    }

    /// At the input hooks where it ends.
    fn taken(&mut self, crossing: &Crossing, path: &Path, (src, dst): (&AddrSet, &AddrSet)) {
        match path.end {
            Some((host, leg)) => self.taken_in((host, leg), (src, dst), self.headers),
            None => {
                // S20: a dynamic leg has any address of its zone, unless the path passes its machine before.
                let passed = |own: &&Own| path.transits.iter().any(|t| t.host == own.host);
                for own in crossing.receivers.iter().filter(|own| !passed(own)) {
                    self.taken_in((own.host, own.leg), (src, &own.addrs), self.headers);
                }
            }
        }
    }

    /// S39: between the ports of a bridge, but for what its machine itself sends or takes in there.
    fn bridged(&mut self, path: &Path, ends: (&AddrSet, &AddrSet)) {
        path.bridged.iter().for_each(|hop| self.across(*hop, ends, hop.before == 0, self.headers));
    }

    /// `sent`: whether the machine's own addresses are those of senders on this very link.
    fn across(&mut self, hop: Bridged, (src, dst): (&AddrSet, &AddrSet), sent: bool, headers: &[Header]) {
        let how = self.site.leg(hop.host, hop.leg).and_then(|leg| leg.bridge.as_ref());
        let hook = match how {
            Some(Bridge::BrNetfilter | Bridge::Hub) => Hook::Forward,
            Some(Bridge::Stateful | Bridge::Stateless(_)) | None => Hook::Bridge,
        };
        let stateless = matches!(how, Some(Bridge::Stateless(_)));
        let own = self.own(hop.host);
        let but = |addrs: &AddrSet, there: bool| if there { addrs.difference(&own) } else { addrs.clone() };
        let (src, dst) = (but(src, sent), but(dst, hop.last));
        let legs = (Some(hop.leg), Some(hop.leg));
        self.add((hop.host, hook), legs, (&src, &dst), headers);
        let said = self.said(self.access);
        if let Some(pair) = self.at((hop.host, hook), legs, (&src, &dst)).filter(|_| stateless) {
            let mut answers = Vec::new();
            entries(&dst, &src, &replies::headers(headers), said, &mut answers);
            pair.replies.extend(answers.into_iter().map(replies::unlogged));
        }
    }

    fn own(&self, host: HostId) -> AddrSet {
        self.site.static_addresses_of(host)
    }

    /// S29.
    fn dnat(&mut self, crossing: &Crossing, path: &Path, dnat: &Dnat) {
        let target = AddrSet::one(dnat.target);
        let (family, src) = (crossing.family, &crossing.src);
        self.sent(crossing);
        self.passed(&path.transits, (src, &crossing.dst));
        self.bridged(path, (src, &crossing.dst));

        let headers = delivered(self.headers, dnat.port);
        let as_written = delivered(self.headers, None);
        let mapping = Mapping {
            wire: wire(self.site, dnat.at, dnat.inward),
            because: self.id,
            family,
            ends: (src, &dnat.written),
            original: None,
            put: Put::Destination(dnat.target, dnat.port),
        };
        let Some(inner) = &dnat.inner else {
            self.mapped.add((dnat.at, Hook::Prerouting), mapping, &as_written);
            let ends = (src, &target, &dnat.written);
            return self.add_translated((dnat.at, Hook::Input), (Some(dnat.inward), None), ends, &headers);
        };
        let Ok(inner) = inner.as_ref() else { return };
        let Some(out) = inner.out else { return };
        self.mapped.add((dnat.at, Hook::Prerouting), mapping, &as_written);
        let ends = (src, &target, &dnat.written);
        let legs = (Some(dnat.inward), Some(out));
        self.add_translated((dnat.at, Hook::Forward), legs, ends, &headers);

        let mut behind = src.clone();
        if let Some(mask) = dnat.mask {
            let Some((put, seen)) = masked(mask) else { return };
            let mapping = Mapping {
                wire: wire(self.site, dnat.at, out),
                because: self.id,
                family,
                ends: (src, &target),
                original: Some(&dnat.written),
                put,
            };
            self.mapped.add((dnat.at, Hook::Postrouting), mapping, &headers);
            behind = seen;
        }
        let seen: Vec<Header> =
            headers.iter().map(|(f, [proto, to, from, _])| (*f, [*proto, *to, *from])).collect();
        let end = inner.end.or_else(|| receiver(self.topology, dnat.target));
        self.beyond(inner, end, (&behind, &target), &seen);
    }

    /// On the way from a machine that translates, and at its end.
    fn beyond(
        &mut self,
        inner: &Path,
        end: Option<(HostId, LegId)>,
        ends: (&AddrSet, &AddrSet),
        headers: &[Header],
    ) {
        for transit in &inner.transits {
            let legs = (Some(transit.inward), Some(transit.outward));
            self.add((transit.host, Hook::Forward), legs, ends, headers);
        }
        let own = |hop: &Bridged| hop.last && end.is_some_and(|(host, _)| host == hop.host);
        for hop in inner.bridged.iter().filter(|hop| !own(hop)) {
            self.across(*hop, ends, false, headers);
        }
        if let Some(end) = end {
            self.taken_in(end, ends, headers);
        }
    }

    /// S43, S44: from the director to one real server, and back.
    fn shared(&mut self, crossing: &Crossing, balanced: &Balanced, real: &Real) {
        let Ok(inner) = real.inner.as_ref() else { return };
        let Some(out) = inner.out else { return };
        let outward = wire(self.site, balanced.at, out);
        let addr = AddrSet::one(real.addr);
        let dst = if balanced.direct { &crossing.dst } else { &addr };
        let mut headers: Vec<Header> = delivered(self.headers, balanced.port)
            .iter()
            .map(|(f, [proto, to, from, _])| (*f, [*proto, *to, *from]))
            .collect();
        headers.dedup();
        let ends = (&real.src, dst);
        if !balanced.direct {
            self.add((balanced.at, Hook::Output), (None, Some(out)), ends, &headers);
        }
        let end = inner.end.or_else(|| receiver(self.topology, real.addr));
        self.beyond(inner, end, ends, &headers);
        let of_family: Vec<[Numbers; 3]> =
            headers.iter().filter(|(f, _)| *f == crossing.family).map(|(_, sides)| *sides).collect();
        let sent_on = SentOn {
            because: self.id,
            inward: None,
            outward: outward.clone(),
            family: crossing.family,
            src: real.src.clone(),
            dst: dst.clone(),
            headers: of_family.clone(),
            untracked: !balanced.direct,
            answer: false,
            until: self.access.until,
        };
        self.send_on((balanced.at, Hook::Output), sent_on.clone());
        let turned = of_family.iter().map(|[proto, to, from]| [*proto, *from, *to]).collect::<Vec<_>>();
        for (leg, clients) in &real.replies {
            let answer = SentOn {
                inward: Some(outward.clone()),
                outward: wire(self.site, balanced.at, *leg),
                src: addr.clone(),
                dst: clients.clone(),
                headers: turned.clone(),
                answer: true,
                ..sent_on.clone()
            };
            self.send_on((balanced.at, Hook::Forward), answer);
        }
    }

    /// Adds it, or what is new in it to one that differs in an end alone.
    fn send_on(&mut self, point: (HostId, Hook), one: SentOn) {
        let Some(raw) = self.raw.get_mut(&point) else { return };
        if one.src.is_empty() || one.dst.is_empty() || one.headers.is_empty() {
            return;
        }
        for other in &mut raw.sent_on {
            let (src, dst) = (other.src.union(&one.src), other.dst.union(&one.dst));
            let alike = |src: &AddrSet, dst: &AddrSet, a: &SentOn| SentOn {
                src: src.clone(),
                dst: dst.clone(),
                ..a.clone()
            };
            if other.src == one.src && alike(&one.src, &one.dst, other) == one {
                other.dst = dst;
                return;
            }
            if other.dst == one.dst && alike(&one.src, &one.dst, other) == one {
                other.src = src;
                return;
            }
        }
        raw.sent_on.push(one);
    }

    /// S30.
    fn source(&mut self, crossing: &Crossing, path: &Path, source: &Source) {
        let Some(at) = path.transits.get(source.position) else { return };
        let (before, after) = path.transits.split_at(source.position.saturating_add(1));
        self.sent(crossing);
        self.passed(before, (&crossing.src, &crossing.dst));
        let is_nearer = |hop: &&Bridged| hop.before <= source.position;
        for hop in path.bridged.iter().filter(is_nearer) {
            self.across(*hop, (&crossing.src, &crossing.dst), hop.before == 0, self.headers);
        }
        let Some((put, seen)) = masked(source.mask) else { return };
        let mapping = Mapping {
            wire: wire(self.site, at.host, at.outward),
            because: self.id,
            family: crossing.family,
            ends: (&crossing.src, &crossing.dst),
            original: None,
            put,
        };
        self.mapped.add((at.host, Hook::Postrouting), mapping, &delivered(self.headers, None));
        self.passed(after, (&seen, &source.behind));
        for hop in path.bridged.iter().filter(|hop| !is_nearer(hop)) {
            self.across(*hop, (&seen, &source.behind), false, self.headers);
        }
        // What is written to a machine on the way ends there, and gets no other source.
        let ended = path.transits.iter().fold(AddrSet::empty(), |all, t| all.union(&self.own(t.host)));
        let kept = crossing.dst.difference(&source.behind).union(&ended);
        let behind = crossing.less(&AddrSet::empty(), &kept);
        if let Some(mut behind) = behind {
            // What a gateway has no dynamic leg gets (S30): the way to it is another.
            for own in &mut behind.receivers {
                own.addrs = own.addrs.difference(self.gateways);
            }
            self.taken(&behind, path, (&seen, &source.behind));
        }
    }

    fn taken_in(&mut self, (host, leg): (HostId, LegId), ends: (&AddrSet, &AddrSet), headers: &[Header]) {
        self.add((host, Hook::Input), (Some(leg), None), ends, headers);
    }

    fn add(&mut self, point: (HostId, Hook), legs: Legs, ends: (&AddrSet, &AddrSet), headers: &[Header]) {
        let access = self.bounded(point);
        let said = self.said(&access);
        if self.users(point).is_none() {
            if let Some(pair) = self.at(point, legs, ends) {
                entries(ends.0, ends.1, headers, said, &mut pair.entries);
            }
            return;
        }
        let mut new = Vec::new();
        entries(ends.0, ends.1, headers, said, &mut new);
        self.put(point, legs, ends, new);
    }

    fn add_translated(
        &mut self,
        point: (HostId, Hook),
        legs: Legs,
        (src, dst, original): (&AddrSet, &AddrSet, &AddrSet),
        headers: &[Delivered],
    ) {
        let mut new = Vec::new();
        let access = self.bounded(point);
        translated((src, dst, original), headers, self.said(&access), &mut new);
        self.put(point, legs, (src, dst), new);
    }

    fn said<'a>(&self, access: &'a Access) -> Said<'a> {
        Said { access, id: self.id, bucket: self.bucket }
    }

    /// The statement with the bound that it has at a hook (S64).
    fn bounded(&self, (host, hook): (HostId, Hook)) -> Cow<'f, Access> {
        match self.site.bound(self.access, host, hook) {
            bound if bound == self.access.limit => Cow::Borrowed(self.access),
            limit => Cow::Owned(Access { limit, ..self.access.clone() }),
        }
    }

    /// Adds rules for whoever may send what they speak of (S63).
    fn put(&mut self, point: (HostId, Hook), legs: Legs, ends: (&AddrSet, &AddrSet), new: Vec<Entry>) {
        for user in self.users(point).unwrap_or_else(|| vec![None]) {
            if let Some(pair) = self.of_user(point, legs, ends, user) {
                pair.entries.extend(new.iter().cloned());
            }
        }
    }

    /// The confined users who may send what is spoken of; none where it does not depend on the user.
    fn users(&self, (host, hook): (HostId, Hook)) -> Option<Vec<Option<u32>>> {
        if hook != Hook::Output || !self.site.jumps_from(self.access, host) {
            return None;
        }
        let mut users: Vec<_> = self.access.people.iter().map(|id| self.site.uid_at(host, *id)).collect();
        users.sort_unstable();
        users.dedup();
        Some(users)
    }

    /// The rules of a pair of interfaces, where the machine filters and there is anything to say.
    fn at(&mut self, point: (HostId, Hook), legs: Legs, ends: (&AddrSet, &AddrSet)) -> Option<&mut RawPair> {
        self.of_user(point, legs, ends, None)
    }

    /// The same, for one confined user.
    fn of_user(
        &mut self,
        point: (HostId, Hook),
        legs: Legs,
        (src, dst): (&AddrSet, &AddrSet),
        user: Option<u32>,
    ) -> Option<&mut RawPair> {
        let (host, hook) = point;
        if src.is_empty() || dst.is_empty() {
            return None;
        }
        let own = if matches!(hook, Hook::Input | Hook::Output) { self.own(host) } else { AddrSet::empty() };
        let raw = self.raw.get_mut(&point)?;
        // S13, at the machine's own hooks: the other end is never one of its own addresses.
        match hook {
            Hook::Input => raw.itself = raw.itself.union(&own.intersection(src)),
            Hook::Output => raw.itself = raw.itself.union(&own.intersection(dst)),
            Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => {}
        }
        let pairs = match user {
            Some(uid) => raw.confined.entry(uid).or_default(),
            None => &mut raw.pairs,
        };
        let pair = pairs.at(self.site, host, legs)?;
        if matches!(hook, Hook::Forward | Hook::Bridge) {
            pair.itself.extend(one_machine(self.topology, src, dst));
        }
        Some(pair)
    }
}

/// What a mask puts, and the source that others see then: nobody knows that of a dynamic leg.
fn masked(mask: Mask) -> Option<(Put, AddrSet)> {
    match mask.addr {
        translate::Put::Known(addr) => Some((Put::Source(addr), AddrSet::one(addr))),
        translate::Put::Dynamic => Some((Put::Masquerade, AddrSet::empty())),
        translate::Put::Several(_) => None,
    }
}
