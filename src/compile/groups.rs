//! Security groups: emitted, printed in every format that is asked for, and read back from each text.

use std::collections::BTreeSet;

use super::Options;
use crate::diag::{Diagnostic, Findings, Severity, code};
use crate::ir::GroupRules;
use crate::lower;
use crate::model::Site;
use crate::net::Family;
use crate::target::aws::artifact::{Document, Estate};
use crate::target::aws::exposure::{self, Threshold};
use crate::target::aws::plan::{Terms, plan};
use crate::target::aws::validate::quota::Limits;
use crate::target::aws::{emit, print, read};
use crate::verify::{AclsText, GroupsText};

/// What may be written of security groups beside `security-groups.json` and `plan.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// `main.tf.json`.
    Terraform,
    /// `template.json`.
    Cloudformation,
    /// `nacl.json`: a network ACL for each subnet.
    Nacl,
    /// `prefix-lists.json`: lists become prefix lists, which the rules name.
    PrefixLists,
}

/// The files of security groups, and what is read back from those that say what the groups do.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// Name below `aws/` and text.
    pub files: Vec<(String, String)>,
    /// Each text that is proved.
    pub texts: Vec<GroupsText>,
    /// What was emitted, for plans.
    pub estate: Estate,
    /// The network ACLs, as they are read back from their text.
    pub acls: Option<AclsText>,
}

/// The security groups of a site in the formats of these options; none after an error. Without groups there are no files.
pub(super) fn written(
    rules: &[GroupRules],
    site: &Site,
    options: &Options,
    findings: &mut Findings,
) -> Option<Groups> {
    if site.security_groups.is_empty() {
        return Some(Groups::default());
    }
    let formats = &options.emit;
    let pinned = formats.contains(&Format::PrefixLists);
    let estate = emit::emit(rules, site, &Limits::default(), pinned, findings)?;
    let mut out = Groups { estate, ..Groups::default() };
    let text = print::groups(&out.estate.groups);
    let lists: Vec<_> = out.estate.lists.iter().filter(|list| list.id.starts_with("${")).cloned().collect();
    let mut documents = vec![text.clone()];
    out.files.push(("security-groups.json".to_owned(), text.clone()));
    if pinned {
        let lists = print::document(&Document::Lists(lists.clone()));
        documents.push(lists.clone());
        out.files.push(("prefix-lists.json".to_owned(), lists));
    }
    let ec2 = ec2(&documents);
    out.prove("security-groups.json", text, ec2, site, findings);
    let said = Estate { groups: out.estate.groups.clone(), lists, ..Estate::default() };
    for format in formats.union(&options.emit_if_possible) {
        let (name, text) = match format {
            Format::Terraform => ("main.tf.json", print::terraform(&said)),
            Format::Cloudformation => ("template.json", print::cloudformation(&said)),
            Format::PrefixLists | Format::Nacl => continue,
        };
        let text = match text {
            Ok(text) => text,
            Err(why) => {
                let mut finding = unprintable(site, name, &why.to_string());
                if !formats.contains(format) {
                    finding.severity = Severity::Warning;
                    finding =
                        finding.help("it is left out of this proof; `--emit` says which formats are meant");
                }
                findings.push(finding);
                continue;
            }
        };
        let estate = match format {
            Format::Terraform => read::terraform(&text),
            Format::Cloudformation | Format::Nacl | Format::PrefixLists => read::cloudformation(&text),
        };
        out.files.push((name.to_owned(), text.clone()));
        out.prove(name, text, estate.map_err(|why| why.to_string()), site, findings);
    }
    if formats.contains(&Format::Nacl) {
        out.acls(site, findings);
    }
    out.plan(site, findings);
    (!findings.has_errors()).then_some(out)
}

/// What EC2 would refuse of a site's security groups, and what of them is unwise.
pub fn check(site: &Site, findings: &mut Findings) {
    if !site.security_groups.is_empty() {
        let rules = lower::security_groups(site);
        if let Some(estate) = emit::emit(&rules, site, &Limits::default(), false, findings) {
            exposed(site, &rules, &estate, findings);
        }
    }
}

impl Groups {
    /// `plan.json`: the calls that make the groups where nothing is yet, rehearsed.
    fn plan(&mut self, site: &Site, findings: &mut Findings) {
        let known = self.estate.lists.iter().filter(|list| !list.id.starts_with("${")).cloned().collect();
        let live = Estate { lists: known, ..Estate::default() };
        let wanted = Estate {
            groups: self.estate.groups.clone(),
            lists: self.estate.lists.clone(),
            ..Estate::default()
        };
        let mut terms = Terms::default();
        for vpc in &site.vpcs {
            terms.vpcs.insert(emit::vpc_id(vpc), vpc.block.has(Family::V6));
        }
        match plan(&live, &wanted, &terms) {
            Ok(plan) => {
                self.files.push(("plan.json".to_owned(), format!("{:#}\n", plan.json(&terms.limits))))
            }
            Err(obstacles) => {
                let all: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
                findings.push(unprintable(site, "plan.json", &all.join("; ")));
            }
        }
    }

    /// `nacl.json`: what each subnet lets through for its groups, stateless (S72).
    fn acls(&mut self, site: &Site, findings: &mut Findings) {
        let Some(acls) = emit::acls(&self.estate, site, findings) else { return };
        let text = print::document(&Document::Acls(acls));
        match read::read(&text) {
            Ok(read::Read { document: Document::Acls(acls), .. }) => {
                self.acls = Some(AclsText { file: "aws/nacl.json".to_owned(), text: text.clone(), acls });
                self.files.push(("nacl.json".to_owned(), text));
            }
            Ok(_) => findings.push(unprintable(site, "nacl.json", "it reads back as something else")),
            Err(why) => {
                findings.push(unprintable(site, "nacl.json", &format!("it does not read back: {why}")));
            }
        }
    }

    /// Keeps a text with what it says; that it cannot be read back is an error.
    fn prove(
        &mut self,
        name: &str,
        text: String,
        estate: Result<Estate, String>,
        site: &Site,
        findings: &mut Findings,
    ) {
        match estate {
            Ok(estate) => self.texts.push(GroupsText { file: format!("aws/{name}"), text, estate }),
            Err(why) => findings.push(unprintable(site, name, &format!("it does not read back: {why}"))),
        }
    }
}

fn ec2(texts: &[String]) -> Result<Estate, String> {
    let mut documents = Vec::new();
    for text in texts {
        documents.push((None, read::read(text).map_err(|why| why.to_string())?.document));
    }
    read::gather(documents).map_err(|all| {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        all.join("; ")
    })
}

fn unprintable(site: &Site, name: &str, why: &str) -> Diagnostic {
    emit::unprintable(site, format!("aws/{name} cannot be written: {why}"))
}

/// Sensitive ports that much of the Internet reaches, unless every statement behind it waives the finding.
fn exposed(site: &Site, rules: &[GroupRules], estate: &Estate, findings: &mut Findings) {
    for exposure in exposure::exposures(estate, Threshold::default()).found {
        let Some(group) = estate.group(&exposure.group) else { continue };
        let named = site.security_groups().find(|(_, g)| {
            let whole = exposure.group.strip_prefix(&format!("${{sg:{}", g.name));
            whole.is_some_and(|rest| rest.starts_with('}') || rest.starts_with('.'))
        });
        let Some((id, named)) = named else { continue };
        let said: BTreeSet<&str> = exposure
            .rules
            .iter()
            .filter_map(|at| group.ingress.as_ref()?.get(*at)?.description.as_deref())
            .collect();
        let admits = rules.iter().filter(|rules| rules.group == id).flat_map(|rules| &rules.ingress);
        let mut accesses: Vec<_> = admits.map(|admit| admit.because).collect();
        accesses.sort_unstable();
        accesses.dedup();
        let open = accesses
            .into_iter()
            .filter_map(|id| site.access(id))
            .filter(|access| said.iter().any(|said| said.contains(access.words.as_str())));
        let waived = |access: &&crate::model::Access| access.waives_lint(code::EXPOSED_SERVICE.as_str());
        let open: Vec<_> = open.collect();
        if !open.is_empty() && open.iter().all(waived) {
            continue;
        }
        let at = open.iter().find(|access| !waived(access)).map_or(named.span, |access| access.span);
        let message = format!(
            "the security group `{}` lets {} public addresses reach {} (port {})",
            named.name,
            exposure.addresses,
            exposure.service.name,
            exposure.port_words()
        );
        findings.push(
            Diagnostic::warning(code::EXPOSED_SERVICE, at, message)
                .help("name who needs it; or say `{ waive lint exposed-service \"why\" }`"),
        );
    }
}
