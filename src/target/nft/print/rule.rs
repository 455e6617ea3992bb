//! Rules, statements and expressions as text.

use std::net::IpAddr;

use super::super::artifact::{
    Counter, Expression, Family, Field, Log, Nat, NatKind, Op, RejectWith, Rule, SetOp, Statement, Verdict,
};
use super::{COMMENT_MAX, PREFIX_MAX, Printed, Printer, Unprintable, words};

impl Printer {
    pub(super) fn rule(&mut self, rule: &Rule) -> Printed {
        if rule.statements.is_empty() {
            let text = rule.comment.clone().unwrap_or_default();
            return Err(Unprintable { what: "rule", text, why: "it has no statement" });
        }
        for (at, statement) in rule.statements.iter().enumerate() {
            if at > 0 {
                self.put(" ");
            }
            self.statement(statement)?;
        }
        self.comment(" ", rule.comment.as_ref())
    }

    pub(super) fn statement(&mut self, statement: &Statement) -> Printed {
        match statement {
            Statement::Match { left, op, right } => {
                self.expression(left)?;
                let op = match op {
                    Op::Implicit => " ",
                    Op::Equal => " == ",
                    Op::NotEqual => " != ",
                    Op::Less => " < ",
                    Op::Greater => " > ",
                    Op::AtMost => " <= ",
                    Op::AtLeast => " >= ",
                };
                self.put(op);
                match right {
                    // A list after an operator is a syntax error before nft 1.0 (tried); `|` is none.
                    Expression::Flags(flags) if op == " " => self.flags(",", flags),
                    // As the name of what a frame carries these two are no words that start an expression.
                    Expression::Word(word)
                        if matches!(left, Expression::Field(Field::Protocol | Field::EtherType))
                            && matches!(word.as_str(), "ip" | "ip6") =>
                    {
                        self.put(word);
                        Ok(())
                    }
                    right => self.expression(right),
                }
            }
            Statement::Verdict(verdict) => self.verdict(verdict),
            Statement::VerdictMap { key, map } => {
                self.expression(key)?;
                self.put(" vmap ");
                match map {
                    Expression::Set(elements) => {
                        self.put("{\n");
                        self.elements("\t\t\t", elements)?;
                        self.put("\t\t}");
                        Ok(())
                    }
                    map => self.expression(map),
                }
            }
            Statement::Counter(Counter::Own { packets: 0, bytes: 0 }) => {
                self.put("counter");
                Ok(())
            }
            Statement::Counter(Counter::Own { packets, bytes }) => {
                self.show(format_args!("counter packets {packets} bytes {bytes}"));
                Ok(())
            }
            Statement::Counter(Counter::Named(name)) => {
                self.put("counter name ");
                self.quoted("counter name", name, COMMENT_MAX)
            }
            Statement::Log(log) => self.log(log),
            Statement::Limit(limit) => {
                let (over, unit) = (if limit.over { "over " } else { "" }, limit.unit.keyword());
                self.show(format_args!(
                    "limit rate {over}{}/{unit} burst {} packets",
                    limit.rate, limit.burst
                ));
                Ok(())
            }
            Statement::Reject(with) => self.reject(with.as_ref()),
            Statement::SetUpdate { op, set, key, timeout, statements } => {
                self.put(match op {
                    SetOp::Add => "add @",
                    SetOp::Update => "update @",
                    SetOp::Delete => "delete @",
                });
                self.name("set name", set)?;
                self.put(" { ");
                self.expression(key)?;
                if let Some(timeout) = timeout {
                    self.show(format_args!(" timeout {timeout}"));
                }
                for statement in statements {
                    self.put(" ");
                    self.statement(statement)?;
                }
                self.put(" }");
                Ok(())
            }
            Statement::Mangle { field, value } => {
                self.show(format_args!("{} set ", field.keyword()));
                self.expression(value)
            }
            Statement::Alter(text) => {
                words::raw(text)?;
                self.put(text);
                Ok(())
            }
            Statement::NoTrack => {
                self.put("notrack");
                Ok(())
            }
            Statement::Nat(nat) => self.nat(nat),
            Statement::Unsupported(text) => {
                words::raw(text)?;
                self.put(text);
                Ok(())
            }
        }
    }

    pub(super) fn verdict(&mut self, verdict: &Verdict) -> Printed {
        match verdict {
            Verdict::Accept => self.put("accept"),
            Verdict::Drop => self.put("drop"),
            Verdict::Continue => self.put("continue"),
            Verdict::Return => self.put("return"),
            Verdict::Jump(chain) => {
                self.put("jump ");
                self.name("chain name", chain)?;
            }
            Verdict::Goto(chain) => {
                self.put("goto ");
                self.name("chain name", chain)?;
            }
        }
        Ok(())
    }

    fn log(&mut self, log: &Log) -> Printed {
        self.put("log");
        if let Some(prefix) = &log.prefix {
            words::prefix(prefix)?;
            self.put(" prefix ");
            self.quoted("log prefix", prefix, PREFIX_MAX)?;
        }
        if let Some(group) = log.group {
            self.show(format_args!(" group {group}"));
        }
        if let Some(length) = log.snaplen {
            self.show(format_args!(" snaplen {length}"));
        }
        if let Some(threshold) = log.threshold {
            self.show(format_args!(" queue-threshold {threshold}"));
        }
        if let Some(level) = &log.level {
            self.put(" level ");
            self.word("log level", level)?;
        }
        for flags in &log.flags {
            words::raw(flags)?;
            self.put(" flags ");
            self.put(flags);
        }
        Ok(())
    }

    // The spelling with `type`: without it only nft 1.0 and later understand it.
    fn reject(&mut self, with: Option<&RejectWith>) -> Printed {
        self.put("reject");
        let (kind, word) = match with {
            None => return Ok(()),
            Some(RejectWith::TcpReset) => {
                self.put(" with tcp reset");
                return Ok(());
            }
            Some(RejectWith::Icmp(word)) => ("icmp", word),
            Some(RejectWith::Icmpv6(word)) => ("icmpv6", word),
            Some(RejectWith::Icmpx(word)) => ("icmpx", word),
        };
        self.show(format_args!(" with {kind} type "));
        self.word("reject type", word)
    }

    fn nat(&mut self, nat: &Nat) -> Printed {
        self.put(match nat.kind {
            NatKind::Dnat => "dnat",
            NatKind::Snat => "snat",
            NatKind::Masquerade => "masquerade",
            NatKind::Redirect => "redirect",
        });
        match nat.family {
            None => {}
            Some(Family::V4) => self.put(" ip"),
            Some(Family::V6) => self.put(" ip6"),
        }
        if nat.addr.is_some() || nat.port.is_some() {
            self.put(" to ");
        }
        if let Some(addr) = &nat.addr {
            self.nat_address(addr, nat.port.is_some())?;
        }
        if let Some(port) = &nat.port {
            self.put(":");
            self.expression(port)?;
        }
        if !nat.flags.is_empty() {
            self.put(" ");
            self.words("nat flag", ",", &nat.flags)?;
        }
        Ok(())
    }

    fn nat_address(&mut self, addr: &Expression, with_port: bool) -> Printed {
        match addr {
            Expression::Address(IpAddr::V6(addr)) if with_port => {
                self.show(format_args!("[{addr}]"));
                Ok(())
            }
            Expression::Prefix(net) if with_port => {
                Err(Unprintable { what: "address", text: net.to_string(), why: "a network here has no port" })
            }
            Expression::Range(first, last) if with_port => {
                self.nat_address(first, true)?;
                self.put("-");
                self.nat_address(last, true)
            }
            addr => self.expression(addr),
        }
    }

    // ---- expressions ----------------------------------------------------------------------------------

    pub(super) fn expression(&mut self, expression: &Expression) -> Printed {
        match expression {
            Expression::Field(field) => self.put(field.keyword()),
            Expression::Masked(field, mask) => {
                self.expression(field)?;
                self.put(" & ");
                match mask.as_ref() {
                    Expression::Flags(flags) => {
                        self.put("(");
                        self.flags("|", flags)?;
                        self.put(")");
                    }
                    mask => self.expression(mask)?,
                }
            }
            Expression::Concat(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    if at > 0 {
                        self.put(" . ");
                    }
                    self.expression(part)?;
                }
            }
            Expression::Bits { of, and, xor } => {
                self.show(format_args!("{} & {and:#x} ^ {xor:#x}", of.keyword()));
            }
            Expression::Lookup { key, map } => {
                self.expression(key)?;
                self.put(" map ");
                self.expression(map)?;
            }
            Expression::Number(number) => self.show(number),
            Expression::Address(addr) => self.address(*addr),
            Expression::Prefix(net) => {
                self.address(net.addr());
                self.show(format_args!("/{}", net.prefix_len()));
            }
            Expression::Range(first, last) => {
                self.expression(first)?;
                self.put("-");
                self.expression(last)?;
            }
            Expression::Word(word) => self.word("word", word)?,
            Expression::Text(text) => {
                if text.is_empty() {
                    return Err(Unprintable { what: "string", text: String::new(), why: "it is empty" });
                }
                self.quoted("string", text, COMMENT_MAX)?;
            }
            Expression::Flags(flags) => self.flags("|", flags)?,
            Expression::Any => self.put("*"),
            Expression::Set(elements) => {
                self.put("{ ");
                for (at, element) in elements.iter().enumerate() {
                    self.put(if at > 0 { ", " } else { "" });
                    self.element(element)?;
                }
                self.put(" }");
            }
            Expression::Named(name) => {
                self.put("@");
                self.name("set name", name)?;
            }
            Expression::Unknown(text) => {
                words::raw(text)?;
                self.put(text);
            }
        }
        Ok(())
    }

    fn flags(&mut self, between: &str, flags: &[Expression]) -> Printed {
        for (at, flag) in flags.iter().enumerate() {
            if at > 0 {
                self.put(between);
            }
            self.expression(flag)?;
        }
        Ok(())
    }
}
