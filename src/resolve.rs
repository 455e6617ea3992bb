//! From the tree of a policy to the site it means: names, kinds, families, dates.
//!
//! The way of a policy: [`gather`] reads the files and their includes; [`resolve`] collects the names,
//! then the zones, who is in which group, the legs of every machine, and at last the statements. Each step
//! reports all it finds and goes on with the rest; what an error already spoke of is *broken* and is
//! passed over in silence. There is a whole [`Site`] only where nothing is broken; where sentences alone are, there is one
//! without them ([`of_declared`]).
//!
//! Order never matters: everything is put into the canonical order of [`crate::model`], so that the
//! site is the same, but for spans, however its statements are arranged or spread over files.
//! Nothing here recurses along the policy: groups, services and includes are ordered first (`cycles`).

mod access;
mod bastion;
mod bridges;
mod builtin;
mod clamps;
mod cycles;
mod declarations;
mod except;
mod gather;
mod given;
mod groups;
mod hosts;
mod icmp;
mod leases;
mod lists;
mod literal;
mod modifiers;
mod names;
mod nat;
mod people;
mod places;
mod publics;
mod routes;
mod services;
mod unusable;
mod unused;
mod vpcs;
mod words;
mod zones;

pub use gather::gather;

use crate::diag::Findings;
use crate::model::Site;
use crate::source::{Loader, SourceMap};
use crate::syntax::ast;

use access::Statements;
use names::Names;
use places::Places;
use services::Services;

/// What a policy means, or nothing where it has an error.
///
/// `set` gives variables their values, as `--set NAME=VALUE` does; each is read as a place or a service, as
/// the variable is declared. Lists are read by `loader`.
pub fn resolve(
    files: &[ast::File],
    sources: &mut SourceMap,
    loader: &mut dyn Loader,
    set: &[(String, String)],
    findings: &mut Findings,
) -> Option<Site> {
    let site = of_declared(files, sources, loader, set, findings)?;
    (!findings.has_errors()).then_some(site)
}

/// The same where only sentences have errors, without those: what else is wrong with the others can be said at once. Nothing where
/// what sentences are about has an error.
pub fn of_declared(
    files: &[ast::File],
    sources: &mut SourceMap,
    loader: &mut dyn Loader,
    set: &[(String, String)],
    findings: &mut Findings,
) -> Option<Site> {
    let given = given::read(files, sources, set, findings);
    let mut names = Names::collect(files, &given, sources, findings);
    let lists = lists::read(&names, sources, loader, findings);
    let people = people::resolve(&names, sources, loader, findings);
    let blocks = vpcs::blocks(&names, findings);
    names.mark_broken(findings);
    let in_vpcs = vpcs::of_zones(&names, &blocks, findings);
    let zones = zones::resolve(&names, &blocks, findings);
    names.mark_broken(findings);
    let services = Services::resolve(&names, findings);

    // Who is in which group, before any machine has a leg: `each` gives legs to members. What is wrong
    // with a group is said below, where everything is known.
    let members = Places::resolve(&names, &zones, &lists, &[], &mut Findings::default());
    let mut hosts = hosts::resolve(&names, &zones, &members, findings);
    let vpcs = vpcs::resolve(&names, (&blocks, &in_vpcs), &zones, &mut hosts, findings);
    let mut places = Places::resolve(&names, &zones, &lists, &hosts, findings);
    let lines = routes::resolve(&names, &members, &mut places, findings);
    let sound = !findings.has_errors();
    let mut statements = Statements::new(&names, &services, sources);
    statements.resolve(&mut places, findings);
    let sshds = bastion::declared(&names.sshds, &mut places, findings);
    let groups = places.groups();
    let security_groups = vpcs::groups(&names, &places, (&vpcs, &hosts), findings);
    let lists = vpcs::lists(&names, &lists, findings);
    let Statements { mut accesses, tests, .. } = statements;

    for (host, lines) in hosts.iter_mut().zip(lines) {
        host.routes = lines.routes;
        host.log_from = lines.log_from;
        host.reject_from = lines.reject_from;
    }
    bastion::settle(sshds, &mut hosts, &mut accesses, &people, findings);
    leases::check(&hosts, &zones, &vpcs, &accesses, findings);
    publics::check(&names, (&hosts, &zones, &vpcs), &accesses, &tests, findings);
    let waived = unused::waived(&names, findings);
    unused::check(&names, &waived, findings);
    unusable::check(&hosts, &zones, &vpcs, &waived, findings);
    let site = Site { zones, hosts, vpcs, security_groups, lists, people, accesses, tests, groups };
    clamps::check(&site, findings);
    sound.then_some(site)
}
