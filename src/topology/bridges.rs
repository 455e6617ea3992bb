//! What a bridge without connection tracking cannot enforce (S42).

use super::{Course, Found, Topology};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, Action, Bridge};

/// A limit counts connections, and a stateless bridge knows none.
pub(super) fn limit(topology: &mut Topology<'_>, access: &Access, findings: &mut Findings) {
    if access.action != Action::Allow || access.limit.is_none() {
        return;
    }
    let site = topology.site;
    let mut found = None;
    topology.each_way(access, &mut |way| {
        let inner: Vec<&Found> = match &way.course {
            Course::Dnat(dnat) => dnat.inner.iter().collect(),
            Course::Balanced(balanced) => balanced.reals.iter().map(|real| &real.inner).collect(),
            Course::Plain | Course::Source(_) | Course::Unserved | Course::Nowhere => Vec::new(),
        };
        let paths = std::iter::once(&way.crossing.path).chain(inner);
        let mut hops = paths.filter_map(|path| path.as_ref().as_ref().ok()).flat_map(|path| &path.bridged);
        let stateless = hops.find(|hop| {
            let how = site.leg(hop.host, hop.leg).and_then(|leg| leg.bridge.as_ref());
            matches!(how, Some(Bridge::Stateless(_)))
        });
        found = found.or(stateless.map(|hop| hop.host));
    });
    if let Some(host) = found.and_then(|host| site.host(host)) {
        let message =
            format!("the stateless bridge of `{}` knows no connections: it cannot bound them", host.name);
        findings.push(
            Diagnostic::error(code::UNSUPPORTED_LIMIT, access.span, message)
                .label("a limit would bound every packet of a connection")
                .help("leave out the limit, or filter the bridge by `br_netfilter` or `stateful`"),
        );
    }
}
