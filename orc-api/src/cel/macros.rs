//! Macros beyond the standard ones: `cel.bind` and comprehensions with two variables (cel-go's `ext.Bindings` and
//! `ext.TwoVarComprehensions`, which Kubernetes has on).

use cel::Env;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, operators};
use cel::parser::{Macro, MacroExprHelper, ParseError};

const RESULT: &str = "@result";
/// Adds an entry to the map of a `transformMap`.
pub(super) const INSERT: &str = "cel.@mapInsert";
/// Adds the entries of a map to another.
pub(super) const MERGE: &str = "cel.@mapMerge";

type Helper<'a, 'b> = &'a mut MacroExprHelper<'b>;

/// The parser's environment: standard macros, those of optional values, and ours.
pub(super) fn environment() -> Env {
    let mut env = Env::stdlib();
    for one in [
        Macro::receiver("bind", 3, bind),
        Macro::receiver(operators::ALL, 3, |h, t, a| two(h, t, a, &Kind::All)),
        Macro::receiver(operators::EXISTS, 3, |h, t, a| two(h, t, a, &Kind::Exists)),
        Macro::receiver("existsOne", 3, |h, t, a| two(h, t, a, &Kind::One)),
        Macro::receiver("exists_one", 3, |h, t, a| two(h, t, a, &Kind::One)),
        Macro::receiver("transformList", 3, |h, t, a| two(h, t, a, &Kind::List)),
        Macro::receiver("transformList", 4, |h, t, a| two(h, t, a, &Kind::List)),
        Macro::receiver("transformMap", 3, |h, t, a| two(h, t, a, &Kind::Map)),
        Macro::receiver("transformMap", 4, |h, t, a| two(h, t, a, &Kind::Map)),
        Macro::receiver("transformMapEntry", 3, |h, t, a| two(h, t, a, &Kind::Entry)),
        Macro::receiver("transformMapEntry", 4, |h, t, a| two(h, t, a, &Kind::Entry)),
    ] {
        env.add_macro(one).expect("no macro is there twice");
    }
    env
}

enum Kind {
    All,
    Exists,
    One,
    List,
    Map,
    Entry,
}

fn call(h: Helper<'_, '_>, function: &str, args: Vec<IdedExpr>) -> IdedExpr {
    h.next_expr(Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args }))
}

fn result(h: Helper<'_, '_>) -> IdedExpr {
    h.next_expr(Expr::Ident(RESULT.to_owned()))
}

fn literal(h: Helper<'_, '_>, value: LiteralValue) -> IdedExpr {
    h.next_expr(Expr::Literal(value))
}

fn name(h: Helper<'_, '_>, expr: &IdedExpr) -> Result<String, ParseError> {
    match &expr.expr {
        Expr::Ident(name) => Ok(name.clone()),
        _ => Err(h.new_error(expr.id, "argument must be a simple name")),
    }
}

/// `cel.bind(name, value, expression)`: a comprehension over nothing whose result sees the name.
fn bind(
    h: Helper<'_, '_>,
    target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
) -> Result<Option<IdedExpr>, ParseError> {
    if !matches!(target.as_ref().map(|t| &t.expr), Some(Expr::Ident(ns)) if ns == "cel") {
        return Ok(None);
    }
    let accu_var = name(h, &args[0])?;
    let (Some(body), Some(accu_init)) = (args.pop(), args.pop()) else { return Ok(None) };
    target.take();
    args.clear();
    let fold = ComprehensionExpr {
        iter_range: h.next_expr(Expr::List(ListExpr::new(Vec::new()))),
        iter_var: "#unused".to_owned(),
        iter_var2: None,
        accu_var: accu_var.clone(),
        accu_init,
        loop_cond: literal(h, LiteralValue::Boolean(false.into())),
        loop_step: h.next_expr(Expr::Ident(accu_var)),
        result: body,
    };
    Ok(Some(h.next_expr(Expr::Comprehension(Box::new(fold)))))
}

/// `range.macro(k, v, [filter,] body)`.
fn two(
    h: Helper<'_, '_>,
    target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
    kind: &Kind,
) -> Result<Option<IdedExpr>, ParseError> {
    let (first, second) = (name(h, &args[0])?, name(h, &args[1])?);
    if first == second {
        return Err(h.new_error(args[1].id, format!("duplicate variable name: {second}")));
    }
    let Some(body) = args.pop() else { return Ok(None) };
    let filter = if args.len() == 3 { args.pop() } else { None };
    args.clear();
    let Some(iter_range) = target.take() else { return Ok(None) };
    let accu_init = start(h, kind);
    let loop_cond = condition(h, kind);
    let mut step = step(h, kind, body, &first);
    if let Some(filter) = filter {
        let old = result(h);
        step = call(h, operators::CONDITIONAL, vec![filter, step, old]);
    }
    let mut last = result(h);
    if matches!(kind, Kind::One) {
        let one = literal(h, LiteralValue::Int(1.into()));
        last = call(h, operators::EQUALS, vec![last, one]);
    }
    let fold = ComprehensionExpr {
        iter_range,
        iter_var: first,
        iter_var2: Some(second),
        accu_var: RESULT.to_owned(),
        accu_init,
        loop_cond,
        loop_step: step,
        result: last,
    };
    Ok(Some(h.next_expr(Expr::Comprehension(Box::new(fold)))))
}

fn start(h: Helper<'_, '_>, kind: &Kind) -> IdedExpr {
    match kind {
        Kind::All => literal(h, LiteralValue::Boolean(true.into())),
        Kind::Exists => literal(h, LiteralValue::Boolean(false.into())),
        Kind::One => literal(h, LiteralValue::Int(0.into())),
        Kind::List => h.next_expr(Expr::List(ListExpr::new(Vec::new()))),
        Kind::Map | Kind::Entry => h.next_expr(Expr::Map(MapExpr::default())),
    }
}

fn condition(h: Helper<'_, '_>, kind: &Kind) -> IdedExpr {
    let so_far = result(h);
    match kind {
        Kind::All => call(h, operators::NOT_STRICTLY_FALSE, vec![so_far]),
        Kind::Exists => {
            let not = call(h, operators::LOGICAL_NOT, vec![so_far]);
            call(h, operators::NOT_STRICTLY_FALSE, vec![not])
        }
        _ => literal(h, LiteralValue::Boolean(true.into())),
    }
}

fn step(h: Helper<'_, '_>, kind: &Kind, body: IdedExpr, first: &str) -> IdedExpr {
    let so_far = result(h);
    match kind {
        Kind::All => call(h, operators::LOGICAL_AND, vec![so_far, body]),
        Kind::Exists => call(h, operators::LOGICAL_OR, vec![so_far, body]),
        Kind::One => {
            let one = literal(h, LiteralValue::Int(1.into()));
            let more = call(h, operators::ADD, vec![so_far, one]);
            let same = result(h);
            call(h, operators::CONDITIONAL, vec![body, more, same])
        }
        Kind::List => {
            let item = h.next_expr(Expr::List(ListExpr::new(vec![body])));
            call(h, operators::ADD, vec![so_far, item])
        }
        Kind::Map => {
            let key = h.next_expr(Expr::Ident(first.to_owned()));
            call(h, INSERT, vec![so_far, key, body])
        }
        Kind::Entry => call(h, MERGE, vec![so_far, body]),
    }
}
