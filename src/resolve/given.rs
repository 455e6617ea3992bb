//! The values of `--set NAME=VALUE`, read with the words of the language.

use std::collections::BTreeMap;

use super::names::nearest;
use crate::diag::{Diagnostic, Findings, Severity, code};
use crate::source::SourceMap;
use crate::syntax::{ast, parse};

/// What `--set` gives, by the name of the variable.
#[derive(Default)]
pub(super) struct Given {
    /// None where the value could not be read.
    values: BTreeMap<String, Option<ast::VarValue>>,
}

impl Given {
    /// The value given to a variable.
    pub(super) fn value(&self, name: &str) -> Option<&ast::VarValue> {
        self.values.get(name)?.as_ref()
    }

    /// Whether a value was given that could not be read.
    pub(super) fn failed(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(Option::is_none)
    }
}

/// Reads the given values, each as its variable's kind wants it.
///
/// A value is parsed as the right side of a `var` statement, as a text of its own that findings can point
/// into; anything that makes more of it than one value is refused.
pub(super) fn read(
    files: &[ast::File],
    sources: &mut SourceMap,
    set: &[(String, String)],
    findings: &mut Findings,
) -> Given {
    let vars: BTreeMap<&str, &ast::Var> = vars(files).map(|v| (v.name.text.as_str(), v)).collect();
    let mut given = Given::default();
    for (name, value) in set {
        let Some(var) = vars.get(name.as_str()) else {
            findings.push(unknown_variable(name, vars.keys().copied()));
            continue;
        };
        if given.values.contains_key(name) {
            let message = format!("`--set {name}` is given twice");
            findings.push(Diagnostic::global(code::BAD_VALUE, message).help("give one value"));
            continue;
        }
        given.values.insert(name.clone(), value_of(var, value, sources, findings));
    }
    given
}

fn value_of(
    var: &ast::Var,
    value: &str,
    sources: &mut SourceMap,
    findings: &mut Findings,
) -> Option<ast::VarValue> {
    let (name, kind) = (&var.name.text, kind(&var.value));
    let bad = |why: String| {
        let message = format!("the value of `--set {name}` is no {kind}: {why}");
        Diagnostic::global(code::BAD_VALUE, message).help(match var.value {
            ast::VarValue::Place(_) => "write a place as in a policy, such as `203.0.113.0/24`",
            ast::VarValue::Service(_) => "write a service as in a policy, such as `tcp 8080`",
        })
    };
    if value.contains(['\n', '\r', ';', '#', '{', '}']) {
        findings.push(bad("it has a character that ends a value".into()));
        return None;
    }
    let file = sources.add(format!("--set {name}"), format!("var {name}: {kind} = {value}\n"));
    let mut own = Findings::default();
    let parsed = parse(sources, file, &mut own);
    if let Some(first) = own.sorted().iter().find(|d| d.severity == Severity::Error) {
        findings.push(bad(first.message.clone()));
        return None;
    }
    match parsed.statements.as_slice() {
        [ast::Statement { kind: ast::StatementKind::Var(read), .. }] => Some(read.value.clone()),
        _ => {
            findings.push(bad("it is more than a value".into()));
            None
        }
    }
}

fn kind(value: &ast::VarValue) -> &'static str {
    match value {
        ast::VarValue::Place(_) => "place",
        ast::VarValue::Service(_) => "service",
    }
}

fn vars(files: &[ast::File]) -> impl Iterator<Item = &ast::Var> {
    let statements = files.iter().flat_map(|f| &f.statements);
    statements.filter_map(|s| if let ast::StatementKind::Var(var) = &s.kind { Some(var) } else { None })
}

fn unknown_variable<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Diagnostic {
    let name = super::words::clean(name);
    let finding = Diagnostic::global(
        code::UNKNOWN_VARIABLE,
        format!("`--set {name}`: the policy has no such variable"),
    );
    match nearest(&name, all) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None => finding.help(format!("declare it: `var {name}: place`")),
    }
}
