//! Lists and sets.

use super::{Budget, EvalError, Outcome, Said, Value, int};
use crate::cel::value::List;
use std::cmp::Ordering;

/// The longest list that `lists.range` makes.
const RANGE_MAX: i64 = 1_000_000;

pub(super) fn call(name: &str, args: &[Value], budget: &mut Budget) -> Said {
    if let ("lists.range", [Value::Int(n)]) = (name, args) {
        return Some(range(*n, budget));
    }
    let [Value::List(list), rest @ ..] = args else { return None };
    known(name, list, rest, budget)
}

fn known(name: &str, list: &List, rest: &[Value], budget: &mut Budget) -> Said {
    let items = &list.items;
    let n = items.len() as u64;
    let pay = |budget: &mut Budget, units: u64| budget.take(units);
    let walked: u64 = n + items.iter().map(|item| crate::cel::budget::tenth(item.size())).sum::<u64>();
    let outcome = match (name, rest) {
        ("isSorted", []) => pay(budget, walked).and_then(|()| is_sorted(items)),
        ("sum", []) => pay(budget, n).and_then(|()| sum(items)),
        ("min", []) => pay(budget, walked).and_then(|()| best(items, Ordering::Less, "min")),
        ("max", []) => pay(budget, walked).and_then(|()| best(items, Ordering::Greater, "max")),
        ("indexOf", [item]) => budget.search(items, item).map(|found| found.map_or(Value::Int(-1), int)),
        ("lastIndexOf", [item]) => {
            let reversed: Vec<Value> = items.iter().rev().cloned().collect();
            let found = pay(budget, n).and_then(|()| budget.search(&reversed, item));
            found.map(|found| found.map_or(Value::Int(-1), |i| int(items.len() - 1 - i)))
        }
        ("join", []) => join(items, "", budget),
        ("join", [Value::String(by)]) => join(items, by, budget),
        ("slice", [Value::Int(from), Value::Int(to)]) => pay(budget, n).and_then(|()| slice(items, *from, *to)),
        ("reverse", []) => pay(budget, n).map(|()| Value::list(items.iter().rev().cloned().collect())),
        ("distinct", []) => distinct(items, budget),
        ("flatten", []) => flatten(items, budget),
        ("sort", []) => pay(budget, walked.saturating_mul(n.max(2).ilog2().into())).and_then(|()| sorted(items)),
        ("sets.contains", [Value::List(other)]) => holds_all(items, &other.items, budget).map(Value::Bool),
        ("sets.intersects", [Value::List(other)]) => intersects(items, &other.items, budget),
        ("sets.equivalent", [Value::List(other)]) => {
            let one_way = holds_all(items, &other.items, budget);
            one_way.and_then(|holds| Ok(holds && holds_all(&other.items, items, budget)?)).map(Value::Bool)
        }
        _ => return None,
    };
    Some(outcome)
}

fn holds_all(items: &[Value], wanted: &[Value], budget: &mut Budget) -> Result<bool, EvalError> {
    for one in wanted {
        if budget.search(items, one)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn intersects(items: &[Value], others: &[Value], budget: &mut Budget) -> Outcome {
    for one in others {
        if budget.search(items, one)?.is_some() {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn range(n: i64, budget: &mut Budget) -> Outcome {
    if !(0..=RANGE_MAX).contains(&n) {
        return Err(EvalError::failed(format!("lists.range: {n} must be between 0 and {RANGE_MAX}")));
    }
    budget.take(n.unsigned_abs())?;
    Ok(Value::list((0..n).map(Value::Int).collect()))
}

fn is_sorted(items: &[Value]) -> Outcome {
    for two in items.windows(2) {
        match two[0].order(&two[1]) {
            None => return Err(EvalError::NoSuchOverload),
            Some(Ordering::Greater) => return Ok(Value::Bool(false)),
            Some(_) => {}
        }
    }
    Ok(Value::Bool(true))
}

fn sum(items: &[Value]) -> Outcome {
    let overflow = || EvalError::failed("integer overflow");
    let mut total = match items.first() {
        None | Some(Value::Int(_)) => Value::Int(0),
        Some(Value::Uint(_)) => Value::Uint(0),
        Some(Value::Double(_)) => Value::Double(0.0),
        Some(Value::Duration(_)) => Value::Duration(0),
        Some(_) => return Err(EvalError::NoSuchOverload),
    };
    for item in items {
        total = match (total, item) {
            (Value::Int(a), Value::Int(b)) => a.checked_add(*b).map(Value::Int).ok_or_else(overflow)?,
            (Value::Uint(a), Value::Uint(b)) => a.checked_add(*b).map(Value::Uint).ok_or_else(overflow)?,
            (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
            (Value::Duration(a), Value::Duration(b)) => a.checked_add(*b).map(Value::Duration).ok_or_else(overflow)?,
            _ => return Err(EvalError::NoSuchOverload),
        };
    }
    Ok(total)
}

fn best(items: &[Value], wanted: Ordering, name: &str) -> Outcome {
    let (first, rest) = items.split_first().ok_or_else(|| EvalError::failed(format!("{name} called on empty list")))?;
    let mut best = first;
    for item in rest {
        match item.order(best) {
            None => return Err(EvalError::NoSuchOverload),
            Some(order) if order == wanted => best = item,
            Some(_) => {}
        }
    }
    Ok(best.clone())
}

fn join(items: &[Value], by: &str, budget: &mut Budget) -> Outcome {
    let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    let texts = texts.ok_or(EvalError::NoSuchOverload)?;
    let bytes = texts.iter().map(|text| text.len() + by.len()).sum::<usize>();
    budget.walk(bytes as u64, 2)?;
    Ok(Value::string(texts.join(by)))
}

fn slice(items: &[Value], from: i64, to: i64) -> Outcome {
    let bounds = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let part = bounds.and_then(|(from, to)| items.get(from..to));
    part.map(|part| Value::list(part.to_vec()))
        .ok_or_else(|| EvalError::failed(format!("cannot slice({from}, {to}), list is length {}", items.len())))
}

fn distinct(items: &[Value], budget: &mut Budget) -> Outcome {
    let mut seen: Vec<Value> = Vec::new();
    for item in items {
        if budget.search(&seen, item)?.is_none() {
            seen.push(item.clone());
        }
    }
    Ok(Value::list(seen))
}

fn flatten(items: &[Value], budget: &mut Budget) -> Outcome {
    let mut flat = Vec::new();
    for item in items {
        budget.take(item.size())?;
        match item {
            Value::List(inner) => flat.extend(inner.items.iter().cloned()),
            other => flat.push(other.clone()),
        }
    }
    Ok(Value::list(flat))
}

fn sorted(items: &[Value]) -> Outcome {
    if items.windows(2).any(|two| two[0].order(&two[1]).is_none()) {
        return Err(EvalError::NoSuchOverload);
    }
    let mut items = items.to_vec();
    items.sort_by(|a, b| a.order(b).unwrap_or(Ordering::Equal));
    Ok(Value::list(items))
}
