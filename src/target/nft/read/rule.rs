//! Rules and their statements.
//!
//! A statement counts as read only where what follows can start another one. Otherwise the whole rest of the
//! rule becomes one [`Statement::Unsupported`]: half a comparison would be a different comparison.

use super::super::artifact::{
    Counter, Expression, Family, Field, Limit, Log, Nat, NatKind, Op, RejectWith, Rule, SetOp, Statement,
    Unit, Verdict,
};
use super::cursor::{Parser, Unfit};
use super::token::Kind;
use super::{ReadError, RuleLines, value};

/// Words that start a statement but no expression.
const STARTS: [&str; 37] = [
    "accept",
    "drop",
    "continue",
    "return",
    "jump",
    "goto",
    "queue",
    "counter",
    "log",
    "limit",
    "reject",
    "notrack",
    "add",
    "update",
    "delete",
    "dnat",
    "snat",
    "masquerade",
    "redirect",
    "tproxy",
    "synproxy",
    "flow",
    "dup",
    "fwd",
    "quota",
    "last",
    "comment",
    "meter",
    "xt",
    "numgen",
    "jhash",
    "symhash",
    "fib",
    "socket",
    "osf",
    "rt",
    "exthdr",
];

impl Parser<'_> {
    /// A rule, up to the end of its line.
    pub(super) fn rule(&mut self) -> Result<(Rule, RuleLines), ReadError> {
        let mut rule = Rule::default();
        let mut lines = RuleLines { line: self.now.line, elements: Vec::new() };
        while !self.rule_ends() {
            if self.at_end() {
                // A rule may end with the text only inside braces that never close: the chain says so.
                break;
            }
            let start = self.mark();
            if self.took("comment") && self.at(Kind::Text) {
                let text = self.bump().text.to_owned();
                if self.rule_ends() {
                    rule.comment = Some(text);
                    break;
                }
            }
            self.back(start);
            match self.statement_with_lines() {
                Ok((statement, elements)) => {
                    if let Some(elements) = elements {
                        lines.elements.push((rule.statements.len(), elements));
                    }
                    rule.statements.push(statement);
                }
                Err(Unfit) => {
                    self.back(start);
                    // A first token that no statement can hold would stay for ever.
                    let text = self.raw(|p| p.rule_ends() || p.at_word("comment"));
                    if self.at_word("comment") {
                        let mark = self.mark();
                        self.bump();
                        let is_comment = self.took_kind(Kind::Text) && self.rule_ends();
                        self.back(mark);
                        if !is_comment {
                            let rest = self.raw(Self::rule_ends);
                            rule.statements
                                .push(Statement::Unsupported(format!("{text} {rest}").trim().to_owned()));
                            continue;
                        }
                    }
                    if text.is_empty() {
                        return self.fault("expected a statement");
                    }
                    rule.statements.push(Statement::Unsupported(text));
                }
            }
        }
        if rule.statements.is_empty() {
            return self.fault("expected a statement");
        }
        Ok((rule, lines))
    }

    /// One statement that is not understood, as text keeps it.
    pub(super) fn not_understood(text: &str) -> Option<String> {
        let mut parser = Parser::new(text);
        parser.bump();
        let (rule, _) = parser.rule().ok()?;
        match rule.statements.as_slice() {
            [Statement::Unsupported(said)] if parser.at(Kind::End) => Some(said.clone()),
            _ => None,
        }
    }

    fn rule_ends(&self) -> bool {
        matches!(self.now.kind, Kind::Newline | Kind::Semicolon | Kind::Close)
    }

    fn statement_with_lines(&mut self) -> Result<(Statement, Option<Vec<u32>>), Unfit> {
        let mut lines = None;
        let statement = self.one_statement(&mut lines)?;
        if self.starts_statement() || self.rule_ends() { Ok((statement, lines)) } else { Err(Unfit) }
    }

    fn starts_statement(&self) -> bool {
        let word = self.now.text;
        self.at(Kind::Word) && (STARTS.contains(&word) || value::starts_field(word) || word.starts_with('@'))
    }

    /// A statement of a set or of an element, where anything may follow.
    pub(super) fn statement(&mut self) -> Result<Statement, Unfit> {
        self.one_statement(&mut None)
    }

    fn one_statement(&mut self, lines: &mut Option<Vec<u32>>) -> Result<Statement, Unfit> {
        if !self.at(Kind::Word) {
            return Err(Unfit);
        }
        if let Some(verdict) = self.verdict() {
            return Ok(Statement::Verdict(verdict));
        }
        let start = self.mark();
        match self.bump().text {
            "counter" => self.counter(),
            "log" => self.log(),
            "limit" => self.limit(),
            "reject" => self.reject(),
            "notrack" => Ok(Statement::NoTrack),
            "flow" => self.offload(),
            "add" => self.set_update(SetOp::Add),
            "update" => self.set_update(SetOp::Update),
            "delete" => self.set_update(SetOp::Delete),
            "dnat" => self.nat(NatKind::Dnat),
            "snat" => self.nat(NatKind::Snat),
            "masquerade" => self.nat(NatKind::Masquerade),
            "redirect" => self.nat(NatKind::Redirect),
            "tproxy" => self.tproxy(),
            "ct" if self.took("count") => {
                let over = if self.took("over") { "over " } else { "" };
                Ok(Statement::Unsupported(format!("ct count {over}{}", self.whole::<u32>()?)))
            }
            _ => {
                self.back(start);
                self.comparison(lines)
            }
        }
    }

    /// A verdict; `jump {`, an anonymous chain, is none.
    pub(super) fn verdict(&mut self) -> Option<Verdict> {
        let simple = match self.now.text {
            "accept" => Verdict::Accept,
            "drop" => Verdict::Drop,
            "continue" => Verdict::Continue,
            "return" => Verdict::Return,
            "jump" | "goto" => {
                let start = self.mark();
                let jump = self.bump().text == "jump";
                if !self.at(Kind::Word) {
                    self.back(start);
                    return None;
                }
                let chain = self.bump().text.to_owned();
                return Some(if jump { Verdict::Jump(chain) } else { Verdict::Goto(chain) });
            }
            _ => return None,
        };
        self.bump();
        Some(simple)
    }

    fn comparison(&mut self, lines: &mut Option<Vec<u32>>) -> Result<Statement, Unfit> {
        let left = self.looked_at()?;
        if self.took("vmap") {
            let map = self.set_operand(lines)?;
            return Ok(Statement::VerdictMap { key: left, map });
        }
        if self.took("set") {
            return self.written(left);
        }
        if self.at(Kind::Sign) && self.now.text == "!" {
            // `tcp flags ! syn,ack`, how nft from 1.0 on lists `tcp flags & (syn | ack) == 0`: none of these.
            self.bump();
            let flags = self.compared_with(true)?;
            return none_of(left, flags).ok_or(Unfit);
        }
        let op = match (self.now.kind, self.now.text) {
            (Kind::Sign, "==") => Op::Equal,
            (Kind::Sign, "!=") => Op::NotEqual,
            (Kind::Sign, "<") => Op::Less,
            (Kind::Sign, ">") => Op::Greater,
            (Kind::Sign, "<=") => Op::AtMost,
            (Kind::Sign, ">=") => Op::AtLeast,
            (Kind::Sign, _) => return Err(Unfit),
            (Kind::Word, "eq") => Op::Equal,
            (Kind::Word, "ne") => Op::NotEqual,
            (Kind::Word, "lt") => Op::Less,
            (Kind::Word, "gt") => Op::Greater,
            (Kind::Word, "le") => Op::AtMost,
            (Kind::Word, "ge") => Op::AtLeast,
            _ => Op::Implicit,
        };
        if op != Op::Implicit {
            self.bump();
        }
        if self.at(Kind::Open) || self.now.text.starts_with('@') && self.at(Kind::Word) {
            let right = self.set_operand(lines)?;
            return Ok(Statement::Match { left, op, right });
        }
        // Elsewhere these two start an expression. Protocol 0 over IP is `ip` too.
        let names_it = matches!(
            (&left, self.now.text),
            (Expression::Field(Field::Protocol | Field::EtherType), "ip" | "ip6")
                | (Expression::Field(Field::L4proto | Field::IpProtocol | Field::Ip6Nexthdr), "ip")
        );
        if names_it {
            let right = Expression::word(self.bump().text);
            return Ok(Statement::Match { left, op, right });
        }
        // `ct state new | established` is how nft lists the number of both, and any of them where somebody types it.
        let of_connection = matches!(left, Expression::Field(Field::CtState | Field::CtStatus));
        if op == Op::Implicit && of_connection && self.at_joined() {
            return Err(Unfit);
        }
        // `ct state != new,established` is the number of both, as `new | established` is.
        let right = self.compared_with(matches!(op, Op::Implicit | Op::Equal | Op::NotEqual))?;
        if !self.took("/") {
            return Ok(Statement::Match { left, op, right });
        }
        // `tcp flags syn / fin,syn`, how nft 1.0 lists `tcp flags & (fin|syn) == syn`.
        let op = match op {
            Op::Implicit | Op::Equal => Op::Equal,
            Op::NotEqual => Op::NotEqual,
            Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => return Err(Unfit),
        };
        if !matches!(left, Expression::Field(_) | Expression::Unknown(_)) {
            return Err(Unfit);
        }
        let mask = self.compared_with(true)?;
        Ok(Statement::Match { left: Expression::Masked(Box::new(left), Box::new(mask)), op, right })
    }

    /// What follows `FIELD set`.
    fn written(&mut self, left: Expression) -> Result<Statement, Unfit> {
        let field = match left {
            Expression::Field(field @ (Field::Mark | Field::CtMark)) => field,
            Expression::Unknown(words) if value::is_altered(&words) => {
                if self.at(Kind::Word) && value::starts_field(self.now.text) && !self.at_word("rt") {
                    let lookup = self.looked_up_in_a_map()?;
                    return Ok(Statement::Alter(format!(
                        "{words} set {}",
                        value::said(&lookup).ok_or(Unfit)?
                    )));
                }
                // `rt mtu` starts no statement here.
                let of_route = self.took("rt");
                let value = self.raw(|p| p.rule_ends() || p.starts_statement());
                if value.is_empty() {
                    return Err(Unfit);
                }
                let value = if of_route { format!("rt {value}") } else { value };
                return Ok(Statement::Alter(format!("{words} set {value}")));
            }
            _ => return Err(Unfit),
        };
        if self.at(Kind::Word) && value::starts_field(self.now.text) {
            let value = self.bits()?;
            return Ok(Statement::Mangle { field, value });
        }
        let value = if self.at(Kind::Word) { value::plain(self.now.text) } else { None };
        let Some(value @ Expression::Number(_)) = value else { return Err(Unfit) };
        self.bump();
        Ok(Statement::Mangle { field, value })
    }

    /// A mark and what is done to its bits: `meta mark & 0xff00 | 0x4`.
    fn bits(&mut self) -> Result<Expression, Unfit> {
        let Expression::Field(of) = self.field()? else { return Err(Unfit) };
        let mut bits = value::Bits::of(of).ok_or(Unfit)?;
        loop {
            let op = match (self.now.kind, self.now.text) {
                (Kind::Sign, "&") => '&',
                (Kind::Bar, _) => '|',
                (Kind::Word, "^") => '^',
                _ => return Ok(bits.expression()),
            };
            self.bump();
            let Some(Expression::Number(number)) = value::plain(self.now.text) else { return Err(Unfit) };
            self.bump();
            bits.then(op, u32::try_from(number).map_err(|_| Unfit)?);
        }
    }

    fn set_operand(&mut self, lines: &mut Option<Vec<u32>>) -> Result<Expression, Unfit> {
        if self.at(Kind::Open) {
            let (elements, element_lines) = self.elements().map_err(|_| Unfit)?;
            *lines = Some(element_lines);
            return Ok(Expression::Set(elements));
        }
        match value::plain(self.now.text) {
            Some(named @ Expression::Named(_)) if self.at(Kind::Word) => {
                self.bump();
                Ok(named)
            }
            _ => Err(Unfit),
        }
    }

    /// `KEY map MAP`.
    fn looked_up_in_a_map(&mut self) -> Result<Expression, Unfit> {
        let key = Box::new(self.looked_at()?);
        if !self.took("map") {
            return Err(Unfit);
        }
        let map = Box::new(self.set_operand(&mut None)?);
        Ok(Expression::Lookup { key, map })
    }

    /// Not understood, in words of its own: what stands behind it is.
    fn tproxy(&mut self) -> Result<Statement, Unfit> {
        let family = if self.at_word("ip") || self.at_word("ip6") { self.bump().text } else { "" };
        if !self.took("to") || !self.at(Kind::Word) || value::target(self.now.text).is_none() {
            return Err(Unfit);
        }
        let between = if family.is_empty() { "" } else { " " };
        Ok(Statement::Unsupported(format!("tproxy{between}{family} to {}", self.bump().text)))
    }

    fn counter(&mut self) -> Result<Statement, Unfit> {
        if self.took("name") {
            if !matches!(self.now.kind, Kind::Word | Kind::Text) {
                return Err(Unfit);
            }
            return Ok(Statement::Counter(Counter::Named(self.bump().text.to_owned())));
        }
        let packets = if self.took("packets") { self.whole()? } else { 0 };
        let bytes = if self.took("bytes") { self.whole()? } else { 0 };
        Ok(Statement::Counter(Counter::Own { packets, bytes }))
    }

    fn whole<T: std::str::FromStr>(&mut self) -> Result<T, Unfit> {
        if !self.at(Kind::Word) {
            return Err(Unfit);
        }
        self.bump().text.parse().map_err(|_| Unfit)
    }

    fn log(&mut self) -> Result<Statement, Unfit> {
        let mut log = Log::default();
        loop {
            if self.took("prefix") {
                if !self.at(Kind::Text) {
                    return Err(Unfit);
                }
                log.prefix = Some(self.bump().text.to_owned());
            } else if self.took("group") {
                log.group = Some(self.whole()?);
            } else if self.took("snaplen") {
                log.snaplen = Some(self.whole()?);
            } else if self.took("queue-threshold") {
                log.threshold = Some(self.whole()?);
            } else if self.took("level") {
                if !self.at(Kind::Word) {
                    return Err(Unfit);
                }
                log.level = Some(self.bump().text.to_owned());
            } else if self.took("flags") {
                log.flags.push(self.log_flags()?);
            } else {
                return Ok(Statement::Log(log));
            }
        }
    }

    // `all`, `skuid`, `ether`, `tcp sequence,options`, `ip options`.
    fn log_flags(&mut self) -> Result<String, Unfit> {
        if !self.at(Kind::Word) {
            return Err(Unfit);
        }
        let mut flags = self.bump().text.to_owned();
        if flags == "tcp" || flags == "ip" {
            loop {
                if !self.at(Kind::Word) {
                    return Err(Unfit);
                }
                flags.push(if flags.contains(' ') { ',' } else { ' ' });
                flags.push_str(self.bump().text);
                if !self.took_kind(Kind::Comma) {
                    break;
                }
            }
        }
        Ok(flags)
    }

    fn limit(&mut self) -> Result<Statement, Unfit> {
        if !self.took("rate") {
            return Err(Unfit);
        }
        let over = self.took("over");
        if !over {
            self.took("until");
        }
        let (rate, unit) = self.now.text.split_once('/').ok_or(Unfit)?;
        let rate = rate.parse().map_err(|_| Unfit)?;
        let unit = Unit::ALL.into_iter().find(|u| u.keyword() == unit).ok_or(Unfit)?;
        self.bump();
        let mut burst = 5;
        if self.took("burst") {
            burst = self.whole()?;
            if !self.took("packets") {
                return Err(Unfit);
            }
        }
        Ok(Statement::Limit(Limit { over, rate, unit, burst }))
    }

    fn reject(&mut self) -> Result<Statement, Unfit> {
        if !self.took("with") {
            return Ok(Statement::Reject(None));
        }
        if self.took("tcp") {
            return if self.took("reset") {
                Ok(Statement::Reject(Some(RejectWith::TcpReset)))
            } else {
                Err(Unfit)
            };
        }
        let kind = self.bump().text;
        self.took("type");
        if !self.at(Kind::Word) {
            return Err(Unfit);
        }
        let word = self.bump().text.to_owned();
        let with = match kind {
            "icmp" => RejectWith::Icmp(word),
            "icmpv6" => RejectWith::Icmpv6(word),
            "icmpx" => RejectWith::Icmpx(word),
            _ => return Err(Unfit),
        };
        Ok(Statement::Reject(Some(with)))
    }

    /// `flow add @table`: what follows of the connection passes by the chains; this packet does not.
    fn offload(&mut self) -> Result<Statement, Unfit> {
        if !(self.took("add") || self.took("offload")) || !self.now.text.starts_with('@') {
            return Err(Unfit);
        }
        Ok(Statement::Alter(format!("flow add {}", self.bump().text)))
    }

    fn set_update(&mut self, op: SetOp) -> Result<Statement, Unfit> {
        let Some(Expression::Named(set)) = value::plain(self.now.text) else { return Err(Unfit) };
        self.bump();
        if !self.took_kind(Kind::Open) {
            return Err(Unfit);
        }
        self.newlines();
        let key = self.looked_at()?;
        let mut timeout = None;
        let mut statements = Vec::new();
        loop {
            self.newlines();
            if self.took_kind(Kind::Close) {
                return Ok(Statement::SetUpdate { op, set, key, timeout, statements });
            }
            if self.took("timeout") {
                timeout = Some(value::duration(self.now.text).ok_or(Unfit)?);
                self.bump();
            } else if self.took("counter") {
                statements.push(self.counter()?);
            } else if self.took("limit") {
                statements.push(self.limit()?);
            } else {
                return Err(Unfit);
            }
        }
    }

    fn nat(&mut self, kind: NatKind) -> Result<Statement, Unfit> {
        let mut nat = Nat { kind, family: None, addr: None, port: None, flags: Vec::new() };
        if self.took("ip") {
            nat.family = Some(Family::V4);
        } else if self.took("ip6") {
            nat.family = Some(Family::V6);
        }
        let to = self.took("to");
        if to {
            if !self.at(Kind::Word) {
                return Err(Unfit);
            }
            if value::starts_field(self.now.text) {
                nat.addr = Some(self.looked_up_in_a_map()?);
            } else {
                (nat.addr, nat.port) = value::target(self.bump().text).ok_or(Unfit)?;
            }
        } else if nat.family.is_some() || matches!(kind, NatKind::Dnat | NatKind::Snat) {
            return Err(Unfit);
        }
        while matches!(self.now.text, "random" | "persistent" | "fully-random") && self.at(Kind::Word) {
            nat.flags.push(self.bump().text.to_owned());
            if !self.took_kind(Kind::Comma) {
                break;
            }
        }
        nat.flags.sort();
        nat.flags.dedup();
        Ok(Statement::Nat(nat))
    }
}

/// None of these flags; none where the left is no field of flags.
pub(super) fn none_of(left: Expression, flags: Expression) -> Option<Statement> {
    let of_flags = matches!(left, Expression::Field(Field::CtState | Field::CtStatus | Field::TcpFlags));
    let left = Expression::Masked(Box::new(left), Box::new(flags));
    of_flags.then_some(Statement::Match { left, op: Op::Equal, right: Expression::Number(0) })
}
