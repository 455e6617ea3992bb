//! `fwc plan --aws-live`: the calls that make the described security groups those of the policy, and what they change.
//!
//! Nothing is called. A group is the policy's by the `id` that the policy says, or by its name in its vpc if it carries our
//! tag; whatever else is described is left alone. Who wears which group no call changes: that is compared, and said.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::compile::Compiled;
use crate::diag::{Diagnostic, Findings, code};
use crate::durable;
use crate::model::{Access, SecurityGroup, Site};
use crate::net::Family;
use crate::source::{SourceMap, Span};
use crate::target::aws::artifact::{Estate, Fault};
use crate::target::aws::drift::effect::{Effect, Effects, effects};
use crate::target::aws::emit::{id_of, said, vpc_id};
use crate::target::aws::plan::rehearse::Trouble;
use crate::target::aws::plan::{Foreign, Ids, Obstacle, Parts, Plan, Step, Terms, plan, undescribed};
use crate::target::aws::read::Why;
use crate::verify::nobody;

use super::super::clean::clean_line;
use super::super::import::Blocks;
use super::super::options::{FindingsFormat, Format};
use super::super::render::{self, Look, number};
use super::super::{Console, Exit, Failure};
use super::bound::{bound, limits};
use super::live::differently_worn;
use super::{named, packet_words, rule_words, witness_words};

/// The answer for programs (`docs/json.md`).
pub(in crate::cli) const FORMAT: &str = "fwc.plan.aws/1";

/// What a plan is made from.
pub(in crate::cli) struct Question<'q> {
    pub(in crate::cli) compiled: &'q Compiled,
    pub(in crate::cli) sources: &'q SourceMap,
    pub(in crate::cli) live: &'q Estate,
    /// The blocks of the vpcs, where they are described.
    pub(in crate::cli) blocks: &'q Blocks,
    pub(in crate::cli) output: Option<&'q PathBuf>,
    pub(in crate::cli) format: Format,
}

/// Makes the plan, writes it where asked to, and prints what it changes.
pub(in crate::cli) fn tell(of: &Question<'_>, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if of.compiled.site.security_groups.is_empty() {
        return Err(Failure::new("the policy has no security group to plan for"));
    }
    if let Some(path) = of.output {
        may_write(path)?;
    }
    let wanted = bound(of.compiled, of.live);
    let terms = terms(of, &wanted);
    let made = match made(of, &wanted, &terms) {
        Ok(made) => made,
        Err(findings) => return Ok(refuse(of, &findings, console)),
    };
    let document = made.plan.json(&terms.limits);
    if let Some(path) = of.output {
        let text = format!("{document:#}\n");
        durable::replace(path, text.as_bytes(), 0o644).map_err(|why| Failure::io("write", path, &why))?;
    }
    match of.format {
        Format::Text => made.text(of, console),
        Format::Json => console.data(&render::document(FORMAT, made.json(of, document))),
    }
    made.talk(console);
    if let Some(path) = of.output {
        console.talk(&format!("wrote `{}`\n", clean_line(&path.display().to_string())));
    }
    Ok(Exit::Fine)
}

/// A plan is written where nothing is, or over a plan; never into a build, whose manifest would no longer be true.
fn may_write(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let build = path.parent().and_then(Path::parent).is_some_and(|top| top.join("manifest.json").is_file());
    if build {
        return Err(Failure::new(format!("`{shown}` is a file of a build"))
            .help("name a file elsewhere: a build is of the policy alone"));
    }
    if !path.exists() {
        return Ok(());
    }
    let is_plan = super::text_of(path)
        .ok()
        .and_then(|text| serde_json::from_str::<Value>(&text).ok())
        .is_some_and(|json| json.get("format").and_then(Value::as_str) == Some("fwc.aws.plan/1"));
    if is_plan {
        return Ok(());
    }
    Err(Failure::new(format!("`{shown}` is there, and is no plan")).help("name another file, or remove it"))
}

/// What holds in the account, as far as it was described; else as the policy says.
fn terms(of: &Question<'_>, wanted: &Estate) -> Terms {
    let mut terms = Terms {
        foreign: Foreign::Refuse,
        ids: Ids::Said,
        parts: Parts::Together,
        limits: limits(wanted, of.live),
        nobody: nobody(&of.compiled.site),
        ..Terms::default()
    };
    let site = &of.compiled.site;
    for group in &wanted.groups {
        let Some(id) = group.vpc.clone() else { continue };
        let said = group_of(site, &group.id, group.name.as_deref()).and_then(|of| site.vpcs.get(of.vpc));
        let told = of.blocks.get(&id).map(|nets| nets.iter().any(|net| net.addr().is_ipv6()));
        let v6 =
            told.unwrap_or_else(|| said.is_some_and(|vpc| vpc.block.has(Family::V6)) || has_v6(of.live, &id));
        terms.vpcs.insert(id, v6);
    }
    terms
}

/// Whether an interface of a vpc has an address of IPv6: then the vpc has a block of it.
fn has_v6(live: &Estate, vpc: &str) -> bool {
    let of_it = live.interfaces.iter().filter(|interface| interface.vpc.as_deref() == Some(vpc));
    of_it.flat_map(|interface| &interface.addresses).any(std::net::IpAddr::is_ipv6)
}

struct Made {
    plan: Plan,
    effects: Effects,
    /// Machines that wear other groups than the policy says.
    worn: Option<usize>,
    /// Vpcs in which groups are made, and whose blocks were not described.
    untold: BTreeSet<String>,
}

fn made(of: &Question<'_>, wanted: &Estate, terms: &Terms) -> Result<Made, Findings> {
    let mut findings = Findings::default();
    unknown_vpcs(of, wanted, &mut findings);
    if findings.has_errors() {
        return Err(findings);
    }
    let obstacles = match plan(of.live, wanted, terms) {
        Err(obstacles) => obstacles,
        Ok(plan) => {
            let undescribed = undescribed(of.live, &plan);
            match effects(of.live, &plan, terms) {
                Ok(effects) if undescribed.is_empty() => {
                    let worn = differently_worn(of.compiled, of.live);
                    let untold = untold(of, &plan);
                    return Ok(Made { plan, effects, worn, untold });
                }
                Ok(_) => undescribed,
                Err(trouble) => vec![trouble.into()],
            }
        }
    };
    for obstacle in &obstacles {
        findings.push(finding(of, obstacle));
    }
    Err(findings)
}

/// EC2 gives a new group a rule that lets all out, and a second one where the vpc has IPv6.
fn untold(of: &Question<'_>, plan: &Plan) -> BTreeSet<String> {
    let new = plan.result.groups.iter().filter(|group| of.live.group(&group.id).is_none());
    new.filter_map(|group| group.vpc.clone()).filter(|vpc| !of.blocks.contains_key(vpc)).collect()
}

/// A group that is to be made is made in a vpc that is known.
fn unknown_vpcs(of: &Question<'_>, wanted: &Estate, findings: &mut Findings) {
    for (at, vpc) in of.compiled.site.vpcs.iter().enumerate().filter(|(_, vpc)| vpc.id.is_none()) {
        let id = vpc_id(vpc);
        if !wanted.groups.iter().any(|group| group.vpc.as_ref() == Some(&id)) {
            continue;
        }
        let mut groups = of.compiled.site.security_groups.iter().filter(|group| group.vpc == at);
        let message = format!(
            "which vpc of AWS `{}` is, nothing tells: no one vpc has groups of these names",
            vpc.name
        );
        findings.push(
            located(groups.next().map(|group| group.span), message)
                .help(format!("say it: `vpc {} {{ …; id \"vpc-…\" }}`", vpc.name)),
        );
    }
}

fn located(span: Option<Span>, message: String) -> Diagnostic {
    match span {
        Some(span) => Diagnostic::error(code::NO_AWS_PLAN, span, message),
        None => Diagnostic::global(code::NO_AWS_PLAN, message),
    }
}

/// Why there is no plan, at the group or list of the policy that it is about.
fn finding(of: &Question<'_>, obstacle: &Obstacle) -> Diagnostic {
    let site = &of.compiled.site;
    let span = |id: &str| {
        let name = of.live.group(id).and_then(|group| group.name.as_deref());
        let group = group_of(site, id, name).map(|group| group.span);
        let list = || site.lists.iter().find(|list| list.prefix_list.as_deref() == Some(id));
        group.or_else(|| list().map(|list| list.span))
    };
    let about = match obstacle {
        Obstacle::Untold { id, .. }
        | Obstacle::NotOurs { id, .. }
        | Obstacle::Wanted { id, .. }
        | Obstacle::Pinned { id, .. }
        | Obstacle::Family { id } => span(id),
        Obstacle::Unnameable { group, .. } | Obstacle::Undescribed { group, .. } => span(group),
        Obstacle::Elsewhere(of) => span(&of.group),
        Obstacle::Unworn(attach) => attach.wears.first().and_then(|id| span(id)),
        Obstacle::Wearers { from, .. } => span(from),
        Obstacle::Ambiguous { name, .. } => group_of(site, "", Some(name)).map(|group| group.span),
        Obstacle::Trouble(trouble) => trouble_at(trouble).and_then(span),
    };
    let finding = located(about, obstacle.to_string());
    match help(obstacle) {
        Some(help) => finding.help(help),
        None => finding,
    }
}

fn trouble_at(trouble: &Trouble) -> Option<&str> {
    match trouble {
        Trouble::CutOff { group, .. }
        | Trouble::Moved { group, .. }
        | Trouble::LetIn { group, .. }
        | Trouble::Missed { group, .. } => Some(group),
        Trouble::MissedList { list } => Some(list),
        Trouble::Refused { .. } | Trouble::Unknown(_) => None,
    }
}

fn help(obstacle: &Obstacle) -> Option<&'static str> {
    let quota = |trouble: &Trouble| match trouble {
        Trouble::Refused { why, .. } => matches!(&why.why, Why::Fault(Fault::Quota(_))),
        _ => false,
    };
    match obstacle {
        Obstacle::NotOurs { .. } | Obstacle::Ambiguous { .. } => Some(
            "say which group it stands for: `security-group NAME = … id \"sg-…\"`; then it becomes the policy's",
        ),
        Obstacle::Untold { what: "networks", .. } => Some(
            "describe them: `aws ec2 get-managed-prefix-list-entries --prefix-list-id pl-… > entries-pl-….json`",
        ),
        Obstacle::Wearers { .. } | Obstacle::Untold { what: "groups", .. } => Some(
            "put `aws ec2 describe-network-interfaces` into the folder, of the whole region: what one interface lacks \
             may be cut off there",
        ),
        Obstacle::Unworn(_) => Some("do that, describe the interfaces again, and plan again"),
        Obstacle::Trouble(Trouble::Moved { .. }) => Some(
            "let whoever wears one part of the group wear all of them, describe the interfaces again, and plan again",
        ),
        Obstacle::Elsewhere(_) => Some(
            "no call moves a group: name one of that vpc, or leave `id` out of `security-group`, and one is made there",
        ),
        Obstacle::Untold { .. } => Some("describe the whole: `aws ec2 describe-security-groups`"),
        Obstacle::Pinned { .. } => Some("pin what it holds now, and prove the policy with that"),
        Obstacle::Undescribed { .. } => {
            Some("describe all groups of the region, without filters: what is not described cannot be judged")
        }
        Obstacle::Wanted { .. } => {
            Some("what has an id of AWS's must be described; what fwc is to make has none")
        }
        Obstacle::Trouble(trouble) if quota(trouble) => Some(
            "rules come before others go, so both count for a while where some go; with `aws ec2 describe-security-group-rules` in the \
             folder rules change in place, which needs no room",
        ),
        Obstacle::Unnameable { .. } => Some("put `aws ec2 describe-security-group-rules` into the folder"),
        Obstacle::Family { .. } | Obstacle::Trouble(_) => None,
    }
}

/// The policy's group behind an id or the name that EC2 has for it; a part is its group.
fn group_of<'s>(site: &'s Site, id: &str, name: Option<&str>) -> Option<&'s SecurityGroup> {
    let label = name.and_then(|name| name.strip_prefix("fwc-"));
    let part_of = |whole: &str, label: &str| {
        label == whole || label.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.'))
    };
    site.security_groups.iter().find(|group| {
        let symbolic = id_of(&group.name, 1);
        let parts = symbolic.trim_end_matches('}');
        group.id.as_deref() == Some(id)
            || id.trim_end_matches('}') == parts
            || id.strip_prefix(parts).is_some_and(|rest| rest.starts_with('.'))
            || label.is_some_and(|label| part_of(&group.name, label))
    })
}

/// The findings, and that nothing was written.
fn refuse(of: &Question<'_>, findings: &Findings, console: &mut Console<'_>) -> Exit {
    let look = Look { colour: console.colour_err(), width: console.width() };
    console.talk(&render::findings(findings, of.sources, FindingsFormat::Text, look));
    console.talk("there is no plan: nothing is written\n");
    if of.format == Format::Json {
        let findings = render::as_json(findings, of.sources);
        console.data(&render::document(FORMAT, json!({ "findings": findings, "plan": null })));
    }
    Exit::AtFault
}

impl Made {
    fn text(&self, of: &Question<'_>, console: &mut Console<'_>) {
        if self.plan.steps.is_empty() {
            console.talk("nothing to do: the described groups are those of the policy\n");
            return;
        }
        let mut out = String::new();
        let mut say = |line: String| {
            let _ = writeln!(out, "{}", clean_line(&line));
        };
        for (effects, sign) in [(&self.effects.allowed, '+'), (&self.effects.denied, '-')] {
            for effect in effects {
                say(format!(
                    "{sign} {} {}: {}",
                    self.name(of.live, &effect.group),
                    effect.direction.word(),
                    witness_words(&effect.witness, effect.direction)
                ));
                for line in lines(of, effect) {
                    say(format!("    {line}"));
                }
            }
        }
        if self.effects == Effects::default() {
            say("no packet is treated differently".to_owned());
        }
        for (nth, step) in self.plan.steps.iter().enumerate() {
            say(format!("{:>4}. {}", nth.saturating_add(1), self.step_words(of.live, step)));
        }
        console.data(&out);
    }

    /// What is beside the answer.
    fn talk(&self, console: &mut Console<'_>) {
        let mut say = |line: String| console.talk(&format!("{}\n", clean_line(&line)));
        for remark in &self.plan.remarks {
            say(format!("note: {remark}"));
        }
        match self.worn {
            Some(0) => {}
            Some(n) => say(format!(
                "note: {} other groups than the policy says, and no call changes that: `fwc verify --aws-live` says which",
                if n == 1 { "1 machine wears".to_owned() } else { format!("{n} machines wear") }
            )),
            None => say("note: no interface is described: who wears what was not compared".to_owned()),
        }
        for vpc in &self.untold {
            say(format!(
                "note: whether {vpc} has IPv6 is taken from the policy and the interfaces; if it has, a group that is made lets \
                 all out by IPv6 until that is revoked: put `aws ec2 describe-vpcs` into the folder"
            ));
        }
        let made: Vec<&str> = self.plan.steps.iter().filter_map(|step| step.bind.as_deref()).collect();
        if let Some(first) = made.first() {
            say(format!(
                "note: {} made: put the id that its call answers with for `${{{first}}}` in the calls after it",
                if made.len() == 1 { "1 id is".to_owned() } else { format!("{} ids are", made.len()) }
            ));
        }
        for attach in &self.plan.attach {
            say(format!("stop: after these calls {attach}"));
        }
        if !self.plan.attach.is_empty() {
            say(
                "stop: no rule changes before that; then describe the groups and interfaces again, and plan again"
                    .to_owned(),
            );
        }
        if !self.plan.steps.is_empty() {
            say(format!(
                "rehearsed: {}; after each nothing is cut off that stays allowed, and nothing let in that stays denied",
                number(self.plan.steps.len(), "call")
            ));
        }
    }

    /// A group, with what the policy or EC2 calls it.
    fn name(&self, live: &Estate, id: &str) -> String {
        let made = self.plan.result.group(id).and_then(|group| group.name.as_deref());
        match (live.group(id), made) {
            (None, Some(name)) => format!("{id} ({name})"),
            _ => named(live, id),
        }
    }

    /// A call, for people.
    fn step_words(&self, live: &Estate, step: &Step) -> String {
        let text = |key: &str| step.input.get(key).and_then(Value::as_str);
        let of = match (&step.bind, text("GroupId"), text("PrefixListId")) {
            (Some(bind), ..) => {
                format!("${{{bind}}} ({})", text("GroupName").or(text("PrefixListName")).unwrap_or_default())
            }
            (None, Some(group), _) => self.name(live, group),
            (None, None, Some(list)) => list.to_owned(),
            (None, None, None) => {
                let tagged = step.input.get("Resources").and_then(Value::as_array);
                let tagged: Vec<&str> = tagged.into_iter().flatten().filter_map(Value::as_str).collect();
                tagged.join(", ")
            }
        };
        let rules = rules_of(&step.input);
        let count = if rules == 0 { String::new() } else { format!(", {}", number(rules, "rule")) };
        format!("{} {of}{count}", step.operation)
    }

    fn json(&self, of: &Question<'_>, plan: Value) -> Value {
        let all = |effects: &[Effect]| -> Vec<Value> {
            let one = |effect: &Effect| {
                json!({
                    "group": effect.group,
                    "direction": effect.direction.word(),
                    "packet": packet_words(&effect.witness.packet, effect.direction),
                    "rules": effect.witness.by.iter().map(rule_words).collect::<Vec<_>>(),
                    "lines": lines(of, effect),
                })
            };
            effects.iter().map(one).collect()
        };
        json!({
            "findings": [],
            "nothing_to_do": self.plan.steps.is_empty(),
            "allowed": all(&self.effects.allowed),
            "denied": all(&self.effects.denied),
            "machines_that_wear_other_groups": self.worn,
            "plan": plan,
        })
    }
}

/// How many rules a call states: each peer of a permission is one.
fn rules_of(input: &Value) -> usize {
    let list = |of: &Value, key: &str| of.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    let peers = ["IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs"];
    let permissions = input.get("IpPermissions").and_then(Value::as_array);
    let stated: usize = permissions
        .into_iter()
        .flatten()
        .map(|of| peers.iter().map(|key| list(of, key)).sum::<usize>())
        .sum();
    stated
        .saturating_add(list(input, "SecurityGroupRuleIds"))
        .saturating_add(list(input, "SecurityGroupRules"))
}

/// The lines of the policy whose words the rules carry: several where rules of several statements were merged.
fn lines(of: &Question<'_>, effect: &Effect) -> Vec<String> {
    let Some(text) = effect.witness.by.first().and_then(|rule| rule.description.as_deref()) else {
        return Vec::new();
    };
    let says = |access: &&Access| {
        let words = said(&access.words);
        text == words || text.split("; ").any(|part| part == words)
    };
    let line = |access: &Access| {
        let place = of.sources.position(access.span)?;
        let file = of.sources.file(access.span.file)?;
        Some(format!("{}:{}: {}", file.name, place.line, access.words))
    };
    of.compiled.site.accesses().map(|(_, access)| access).filter(says).filter_map(line).collect()
}
