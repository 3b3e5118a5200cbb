//! The variables of a rule set: each sample its conditions look at, as long as no rule changes it.
//!
//! A variable is an expression at one time: after an action that may change what it depends on, the same expression is
//! another variable, of which nothing is known. Every value a variable can have falls into one of its classes, which no
//! condition of the set tells apart; a test is a set of classes. Invariant: no value is left out, so that what holds for
//! all classes holds for all requests. What the analysis does not understand becomes a proposition of its own, or unknown.

use std::collections::HashMap;
use std::net::IpAddr;

use super::known::{self, Part};
use super::ranges;
use super::set::Set;
use super::slot::Slot;
use super::texts::{self, Alphabet, Pattern};
use crate::acl::Acl;
use crate::action::RuleKind;
use crate::expr::Expr;
use crate::matching::networks::Network;
use crate::matching::{Compared, Kind, Matcher};
use crate::sample::Type;
use crate::value::Value;

/// Classes of one variable; beyond it, its tests are unknown.
const CLASSES: usize = 1 << 14;
/// The class of an undefined sample, of a test that does not hold, and of false.
pub(super) const UNDEFINED: usize = 0;

/// Values that no condition tells apart.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// One of them.
    pub(super) sample: Sampled,
    /// The atoms that hold for all of them.
    pub(super) atoms: Vec<u32>,
}

/// A value of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sampled {
    Undefined,
    Text(Vec<u8>),
    Number(i64),
    Address(IpAddr),
    Truth(bool),
    /// What a proposition that is not looked into says.
    Opaque,
}

/// What values there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Domain {
    Text,
    Number,
    Length,
    Address,
    Truth,
    Opaque,
}

/// One comparison of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Atom {
    /// There is a sample.
    Any,
    /// It is true.
    True,
    Text(Pattern),
    Number(i64, i64),
    Network(u128, u128, bool),
}

/// One sample at one time.
#[derive(Debug)]
pub(super) struct Variable {
    /// There may be several occurrences; a test asks whether one of them matches.
    pub(super) many: bool,
    pub(super) slot: Slot,
    /// It is what the request arrived with.
    pub(super) original: bool,
    domain: Domain,
    atoms: Vec<Atom>,
    by_atom: HashMap<Atom, u32>,
    classes: Vec<Class>,
    /// The classes of each atom.
    holding: Vec<Vec<u32>>,
}

impl Variable {
    /// How many classes it has.
    pub(super) fn size(&self) -> usize {
        self.classes.len()
    }

    pub(super) fn sample(&self, class: usize) -> &Sampled {
        &self.classes[class].sample
    }
}

/// What an acl looks at, before the classes are known.
#[derive(Clone, Debug)]
pub(super) struct Test {
    /// It holds always.
    pub(super) always: bool,
    /// It may hold for reasons the analysis does not know.
    pub(super) unknown: bool,
    /// It holds when one of these does: variable, and atoms of it.
    on: Vec<(u32, Vec<u32>)>,
}

/// A test of one variable: a sample, or an occurrence of it, falls into the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lit {
    pub(super) var: u32,
    /// Number of the set.
    pub(super) set: u32,
    pub(super) not: bool,
}

/// Every variable of a rule set, and every set of classes a test asks for.
#[derive(Debug)]
pub(super) struct Vars {
    kind: Option<RuleKind>,
    list: Vec<Variable>,
    by_key: HashMap<String, u32>,
    /// Times each part was changed so far.
    changes: HashMap<Part, u32>,
    /// Times something unknown happened.
    unknown: u32,
    /// Where an atom went that could not be followed beside the others: the variable that stands for it alone.
    alone: HashMap<(u32, u32), u32>,
    /// Variables that turned out to have too many classes.
    lost: Vec<bool>,
    sets: Vec<Set>,
    by_atoms: HashMap<(u32, Vec<u32>), u32>,
}

impl Vars {
    /// For rules of `kind`; `None` stands for `use_backend` and its like.
    pub(super) fn new(kind: Option<RuleKind>) -> Vars {
        Vars {
            kind,
            list: Vec::new(),
            by_key: HashMap::new(),
            changes: HashMap::new(),
            unknown: 0,
            alone: HashMap::new(),
            lost: Vec::new(),
            sets: Vec::new(),
            by_atoms: HashMap::new(),
        }
    }

    pub(super) fn get(&self, var: u32) -> &Variable {
        &self.list[var as usize]
    }

    pub(super) fn set(&self, lit: &Lit) -> &Set {
        &self.sets[lit.set as usize]
    }

    /// A rule may have changed these.
    pub(super) fn change(&mut self, parts: &[Part]) {
        for part in parts {
            *self.changes.entry(part.clone()).or_default() += 1;
            match part {
                // Who looks at all headers sees each change, too; counted apart from a change of all.
                Part::Header(_) => *self.changes.entry(Part::Header(String::new())).or_default() += 1,
                Part::Answer(_) => *self.changes.entry(Part::Answer(String::new())).or_default() += 1,
                _ => {}
            }
        }
    }

    /// A rule may have changed anything.
    pub(super) fn forget(&mut self) {
        self.unknown += 1;
    }

    /// When a part was changed last, as a number that grows with every change.
    fn age(&self, part: &Part) -> u32 {
        let of = |part: &Part| self.changes.get(part).copied().unwrap_or(0);
        self.unknown
            + match part {
                Part::Header(_) => of(part) + of(&Part::Headers),
                Part::Answer(_) => of(part) + of(&Part::Answers),
                Part::Headers => of(&Part::Headers) + of(&Part::Header(String::new())),
                Part::Answers => of(&Part::Answers) + of(&Part::Answer(String::new())),
                _ => of(part),
            }
    }

    /// Takes in an acl as it is looked at now.
    pub(super) fn read(&mut self, acl: &Acl) -> Test {
        let mut test = Test { always: false, unknown: false, on: Vec::new() };
        for (expr, matcher) in acl.tests() {
            self.compare(expr, matcher, &mut test);
        }
        test
    }

    fn compare(&mut self, expr: &Expr, matcher: &Matcher, test: &mut Test) {
        for part in matcher.parts() {
            let constant = match expr.name() {
                "always_true" if expr.is_bare() => Some(true),
                "always_false" if expr.is_bare() => Some(false),
                _ => None,
            };
            if let (Some(truth), Compared::Bool | Compared::Found) = (constant, &part) {
                test.always |= truth || matches!(part, Compared::Found);
                continue;
            }
            if self.part(expr, &part, test).is_none() {
                test.unknown = true;
            }
        }
    }

    /// Takes in one part of a comparison; `None` when it is not understood.
    fn part(&mut self, expr: &Expr, part: &Compared<'_>, test: &mut Test) -> Option<()> {
        match part {
            Compared::File => None,
            // Nothing to compare with: somebody wrote `--`.
            Compared::Keys(_, _, keys) if keys.len() == 0 => Some(()),
            Compared::Ranges(_, ranges) if ranges.is_empty() => Some(()),
            Compared::Found => {
                let domain = match expr.output() {
                    Type::Bool => Domain::Truth,
                    Type::Int => Domain::Number,
                    Type::Ip => Domain::Address,
                    Type::Str | Type::Bin | Type::Any => Domain::Text,
                };
                let var = self.variable(expr, expr.steps().len(), domain, "")?;
                self.push(test, var, [Atom::Any]);
                Some(())
            }
            Compared::Bool => match expr.output() {
                Type::Bool => {
                    let var = self.variable(expr, expr.steps().len(), Domain::Truth, "")?;
                    self.push(test, var, [Atom::True]);
                    Some(())
                }
                Type::Int => {
                    let var = self.variable(expr, expr.steps().len(), Domain::Number, "")?;
                    self.push(test, var, [Atom::Number(i64::MIN, -1), Atom::Number(1, i64::MAX)]);
                    Some(())
                }
                _ => None,
            },
            Compared::Ranges(kind, ranges) => {
                let domain = if *kind == Kind::Len { Domain::Length } else { Domain::Number };
                let var = self.variable(expr, expr.steps().len(), domain, "")?;
                self.push(test, var, ranges.iter().map(|&(low, high)| Atom::Number(low, high)));
                Some(())
            }
            Compared::Keys(Kind::Ip, _, keys) => {
                let atoms: Option<Vec<Atom>> = keys.ids().map(|id| network(keys.key(id))).collect();
                let Some(atoms) = atoms else { return self.opaque(expr, part, test) };
                let var = self.variable(expr, expr.steps().len(), Domain::Address, "")?;
                self.push(test, var, atoms);
                Some(())
            }
            Compared::Keys(
                kind @ (Kind::Str | Kind::Beg | Kind::End | Kind::Sub | Kind::Dir | Kind::Dom),
                fold,
                keys,
            ) => {
                let (steps, case) = case_of(expr);
                let var = self.variable(expr, steps, Domain::Text, "")?;
                let patterns = keys.ids().map(|id| keys.key(id)).filter(|key| {
                    // After `lower` no text has an upper-case letter: such a key matches only where case is ignored.
                    match case {
                        Case::Kept => true,
                        Case::Lower => *fold || !key.iter().any(u8::is_ascii_uppercase),
                        Case::Upper => *fold || !key.iter().any(u8::is_ascii_lowercase),
                    }
                });
                let fold = *fold || case != Case::Kept;
                let atoms: Vec<Atom> =
                    patterns.map(|key| Atom::Text(Pattern { kind: *kind, fold, text: key.into() })).collect();
                self.push(test, var, atoms);
                Some(())
            }
            Compared::Keys(..) => self.opaque(expr, part, test),
        }
    }

    /// A comparison that is only known to say the same each time.
    fn opaque(&mut self, expr: &Expr, part: &Compared<'_>, test: &mut Test) -> Option<()> {
        let Compared::Keys(kind, fold, keys) = part else { return None };
        let keys: Vec<String> = keys.ids().map(|id| format!("{:?}", keys.key(id))).collect();
        let what = format!("{} {fold} {}", kind.name(), keys.join(" "));
        let var = self.variable(expr, expr.steps().len(), Domain::Opaque, &what)?;
        self.push(test, var, [Atom::True]);
        Some(())
    }

    /// The variable of an expression with its first `steps` converters; `what` tells propositions on it apart.
    fn variable(&mut self, expr: &Expr, steps: usize, domain: Domain, what: &str) -> Option<u32> {
        let name = known::canonical(expr.name(), self.kind);
        let argument = match expr.args().first() {
            Some(Value::Str(name)) => Some(&name[..]),
            Some(Value::Field(name)) => Some(name.as_bytes()),
            _ => None,
        };
        let known = known::fetch(name, argument)?;
        let in_tcp = matches!(
            self.kind,
            Some(RuleKind::TcpConnection | RuleKind::TcpSession | RuleKind::TcpContent | RuleKind::TcpResponse)
        );
        if in_tcp && !known.early {
            return None;
        }
        let varies = |args: &[Value]| args.iter().any(|arg| matches!(arg, Value::Var(_)));
        if varies(expr.args()) || expr.steps().iter().any(|step| !known::is_pure(step.conv.name) || varies(&step.args))
        {
            return None;
        }
        let bare = steps == 0;
        let by_name = matches!(known.parts.first(), Some(Part::Header(_) | Part::Answer(_)));
        let mut tail = expr.source()[expr.name().len()..].to_owned();
        for step in expr.steps()[steps..].iter().rev() {
            tail = tail.strip_suffix(&format!(",{}", step.conv.name))?.to_owned();
        }
        if bare && by_name {
            tail.make_ascii_lowercase();
        }
        let ages: Vec<u32> = if known.parts.is_empty() {
            vec![self.unknown]
        } else {
            known.parts.iter().map(|part| self.age(part)).collect()
        };
        let key = format!("{name}{tail} {domain:?} {ages:?} {what}");
        if let Some(&var) = self.by_key.get(&key) {
            return Some(var);
        }
        let occurrence = expr.args().get(1).is_some_and(|arg| matches!(arg, Value::Int(n) if *n != 0));
        let original = ages.iter().all(|&age| age == 0);
        let var = self.list.len() as u32;
        self.list.push(Variable {
            // An opaque test is one proposition however many samples it looks at.
            many: known.many && !occurrence && domain != Domain::Opaque,
            slot: match Slot::of(name, argument) {
                // A guess, which the witness is held to afterwards: most converters leave a plain host as it is.
                slot @ Slot::Header(_) if domain != Domain::Length && domain != Domain::Opaque => slot,
                slot if bare && !matches!(domain, Domain::Length | Domain::Opaque) => slot,
                _ => Slot::Other,
            },
            original,
            domain,
            atoms: Vec::new(),
            by_atom: HashMap::new(),
            classes: Vec::new(),
            holding: Vec::new(),
        });
        self.by_key.insert(key, var);
        Some(var)
    }

    fn push(&mut self, test: &mut Test, var: u32, atoms: impl IntoIterator<Item = Atom>) {
        let variable = &mut self.list[var as usize];
        let at = test.on.iter().position(|(known, _)| *known == var).unwrap_or_else(|| {
            test.on.push((var, Vec::new()));
            test.on.len() - 1
        });
        for atom in atoms {
            let next = variable.atoms.len() as u32;
            let id = *variable.by_atom.entry(atom.clone()).or_insert(next);
            if id == next {
                variable.atoms.push(atom);
            }
            test.on[at].1.push(id);
        }
    }

    /// Finds the classes of every variable, once all conditions were read.
    pub(super) fn partition(&mut self, steps: &mut usize) {
        for var in 0..self.list.len() {
            let found = self.classes(var as u32, steps).filter(|classes| classes.len() < CLASSES);
            self.lost.resize(self.list.len(), false);
            self.lost[var] = found.is_none();
            let undefined = Class { sample: Sampled::Undefined, atoms: Vec::new() };
            let classes = std::iter::once(undefined).chain(found.unwrap_or_default());
            self.list[var].classes = classes.collect();
        }
        // What was split off while the list was walked.
        for var in self.lost.len()..self.list.len() {
            self.lost.push(false);
            let no = Class { sample: Sampled::Opaque, atoms: Vec::new() };
            let yes = Class { sample: Sampled::Opaque, atoms: vec![0] };
            self.list[var].classes = vec![no, yes];
        }
        for variable in &mut self.list {
            variable.holding = vec![Vec::new(); variable.atoms.len()];
            for (class, at) in variable.classes.iter().zip(0..) {
                class.atoms.iter().for_each(|&atom| variable.holding[atom as usize].push(at));
            }
        }
    }

    /// The classes of a variable besides that of an undefined sample; every defined value holds [`Atom::Any`].
    fn classes(&mut self, var: u32, steps: &mut usize) -> Option<Vec<Class>> {
        let variable = &self.list[var as usize];
        let atoms = || variable.atoms.iter().zip(0..);
        let any = atoms().find(|(atom, _)| **atom == Atom::Any).map(|(_, id)| id);
        let mut classes = match variable.domain {
            Domain::Truth | Domain::Opaque => {
                let yes = atoms().find(|(atom, _)| **atom == Atom::True).map(|(_, id)| id);
                vec![
                    Class { sample: Sampled::Truth(false), atoms: Vec::new() },
                    Class { sample: Sampled::Truth(true), atoms: yes.into_iter().collect() },
                ]
            }
            Domain::Number | Domain::Length => {
                let ranges: Vec<(i64, i64, u32)> = atoms()
                    .filter_map(|(atom, id)| match *atom {
                        Atom::Number(low, high) => Some((low, high, id)),
                        _ => None,
                    })
                    .collect();
                let low = match (variable.domain, &variable.slot) {
                    (Domain::Length, _) => (0, i64::MAX),
                    (_, Slot::DestinationPort) => (0, 65535),
                    _ => (i64::MIN, i64::MAX),
                };
                ranges::numbers(&ranges, low, &[443, 80, 8080, 1], steps)?
            }
            Domain::Address => {
                let networks: Vec<(Network, u32)> = atoms()
                    .filter_map(|(atom, id)| match *atom {
                        Atom::Network(low, high, true) => Some((Network::V4(low as u32, high as u32), id)),
                        Atom::Network(low, high, false) => Some((Network::V6(low, high), id)),
                        _ => None,
                    })
                    .collect();
                ranges::addresses(&networks, steps)?
            }
            Domain::Text => return self.texts(var, any, steps),
        };
        classes.iter_mut().for_each(|class| class.atoms.extend(any));
        Some(classes)
    }

    /// The classes of texts. Patterns that cannot be followed together become propositions of their own, the ones that
    /// cost most first.
    fn texts(&mut self, var: u32, any: Option<u32>, steps: &mut usize) -> Option<Vec<Class>> {
        let variable = &self.list[var as usize];
        let patterns: Vec<(Pattern, u32)> = variable
            .atoms
            .iter()
            .zip(0..)
            .filter_map(|(atom, id)| match atom {
                Atom::Text(pattern) => Some((pattern.clone(), id)),
                _ => None,
            })
            .collect();
        let alphabet = if variable.slot == Slot::Path { Alphabet::Path } else { Alphabet::Any };
        let nice = variable.slot.samples(&patterns);
        // The first attempt may take a part of the steps only, so that enough is left for the next.
        type Kept = fn(&Pattern) -> bool;
        let attempts: [(Kept, usize); 3] =
            [(Pattern::fits, 8), (|pattern| pattern.fits() && !pattern.is_sticky(), 4), (Pattern::is_anchored, 2)];
        for (kept, part) in attempts {
            let (together, apart): (Vec<_>, Vec<_>) = patterns.iter().cloned().partition(|(pattern, _)| kept(pattern));
            let loose = together.iter().filter(|(pattern, _)| !pattern.is_anchored()).count();
            if loose > texts::LOOSE {
                continue;
            }
            let share = *steps / part;
            let mut rest = share;
            let found = texts::classes(&together, alphabet, &nice, &mut rest);
            *steps -= share - rest;
            let Some(mut classes) = found else { continue };
            classes.iter_mut().for_each(|class| class.atoms.extend(any));
            for (_, atom) in apart {
                let alone = self.list.len() as u32;
                let original = self.list[var as usize].original;
                self.list.push(Variable {
                    many: false,
                    slot: Slot::Other,
                    original,
                    domain: Domain::Opaque,
                    atoms: vec![Atom::True],
                    by_atom: HashMap::new(),
                    classes: Vec::new(),
                    holding: Vec::new(),
                });
                self.alone.insert((var, atom), alone);
            }
            return Some(classes);
        }
        None
    }

    /// The literals one of which must hold for `test` to hold, and whether it may hold without; `None` when it always does.
    pub(super) fn literals(&mut self, test: &Test) -> Option<(Vec<Lit>, bool)> {
        if test.always {
            return None;
        }
        let mut unknown = test.unknown;
        let mut on: Vec<(u32, Vec<u32>)> = Vec::new();
        for (var, atoms) in &test.on {
            let (apart, together): (Vec<u32>, Vec<u32>) =
                atoms.iter().partition(|&&atom| self.alone.contains_key(&(*var, atom)));
            for atom in apart {
                on.push((self.alone[&(*var, atom)], vec![0]));
            }
            if self.lost[*var as usize] {
                unknown = true;
            } else if !together.is_empty() || atoms.is_empty() {
                on.push((*var, together));
            }
        }
        Some((on.into_iter().map(|(var, atoms)| self.literal(var, atoms)).collect(), unknown))
    }

    fn literal(&mut self, var: u32, mut atoms: Vec<u32>) -> Lit {
        atoms.sort_unstable();
        atoms.dedup();
        let variable = &self.list[var as usize];
        let next = self.sets.len() as u32;
        let set = *self.by_atoms.entry((var, atoms.clone())).or_insert(next);
        if set == next {
            let mut members = Set::empty(variable.size());
            for &atom in &atoms {
                variable.holding[atom as usize].iter().for_each(|&class| members.insert(class as usize));
            }
            self.sets.push(members);
        }
        Lit { var, set, not: false }
    }
}

/// What happened to the case of a text last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Kept,
    Lower,
    Upper,
}

/// How many converters stand before the last `lower` or `upper`, and which of them that is.
fn case_of(expr: &Expr) -> (usize, Case) {
    let steps = expr.steps();
    let is_case = |name: &str| name == "lower" || name == "upper";
    let kept = steps.iter().rposition(|step| !is_case(step.conv.name)).map_or(0, |at| at + 1);
    let case = match steps.last().map(|step| step.conv.name) {
        Some("lower") => Case::Lower,
        Some("upper") => Case::Upper,
        _ => Case::Kept,
    };
    (kept, case)
}

fn network(key: &[u8]) -> Option<Atom> {
    match Network::parse(std::str::from_utf8(key).ok()?)? {
        Network::V4(low, high) => Some(Atom::Network(low.into(), high.into(), true)),
        Network::V6(low, high) => Some(Atom::Network(low, high, false)),
        Network::Holes(..) => None,
    }
}
