//! A walk through the syntax tree of a module, for whoever looks at what is written and not at what it does.

use regorus::unstable::{AssignOp, Expr, Literal, Query, Ref, Rule, RuleAssign, RuleHead, Span};

/// What a reference begins with, and the names that follow as far as they are written.
pub(super) struct Reference {
    /// The names from the root: `data.a["b"].c` has four, and so has `data.a["b"].c[x]`.
    pub(super) names: Vec<String>,
    /// Where it stands, from its first name to its last.
    pub(super) span: Span,
}

/// Who is shown what a rule is made of.
pub(super) trait Visitor {
    /// Is shown an expression, before what is inside of it. Of a reference only the whole is shown.
    fn expression(&mut self, expression: &Expr);

    /// Is shown a name that the rule gives to a variable of its own.
    fn local(&mut self, name: &str);
}

/// Shows every expression of a rule.
pub(super) fn rule(rule: &Rule, visit: &mut dyn Visitor) {
    match rule {
        Rule::Spec { head, bodies, .. } => {
            match head {
                RuleHead::Compr { refr, assign: value, .. } => {
                    computed(refr, &mut |inner| expression(inner, visit));
                    assign(value.as_ref(), visit);
                }
                RuleHead::Set { refr, key, .. } => {
                    computed(refr, &mut |inner| expression(inner, visit));
                    key.iter().for_each(|key| expression(key, visit));
                }
                RuleHead::Func { args, assign: value, .. } => {
                    args.iter().for_each(|argument| pattern(argument, visit));
                    assign(value.as_ref(), visit);
                }
            }
            for body in bodies {
                assign(body.assign.as_ref(), visit);
                query(&body.query, visit);
            }
        }
        Rule::Default { args, value, .. } => {
            args.iter().for_each(|argument| pattern(argument, visit));
            expression(value, visit);
        }
    }
}

/// Shows what a value is bound to.
fn pattern(outer: &Ref<Expr>, visit: &mut dyn Visitor) {
    struct Locals<'v>(&'v mut dyn Visitor);
    impl Visitor for Locals<'_> {
        fn expression(&mut self, expression: &Expr) {
            if let Expr::Var { span, .. } = expression {
                self.0.local(span.text());
            }
        }

        fn local(&mut self, name: &str) {
            self.0.local(name);
        }
    }
    walk(outer, &mut Locals(visit));
}

fn assign(assign: Option<&RuleAssign>, visit: &mut dyn Visitor) {
    if let Some(assign) = assign {
        expression(&assign.value, visit);
    }
}

/// Shows every expression of a query.
fn query(query: &Query, visit: &mut dyn Visitor) {
    for statement in &query.stmts {
        match &statement.literal {
            Literal::SomeVars { vars, .. } => vars.iter().for_each(|name| visit.local(name.text())),
            Literal::SomeIn { key, value, collection, .. } => {
                key.iter().chain([value]).for_each(|inner| pattern(inner, visit));
                expression(collection, visit);
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => expression(expr, visit),
            Literal::Every { key, value, domain, query: inner, .. } => {
                key.iter().chain([value]).for_each(|name| visit.local(name.text()));
                expression(domain, visit);
                self::query(inner, visit);
            }
        }
        for with in &statement.with_mods {
            expression(&with.refr, visit);
            expression(&with.r#as, visit);
        }
    }
}

/// Shows an expression and every one inside of it.
pub(super) fn expression(outer: &Ref<Expr>, visit: &mut dyn Visitor) {
    if let Expr::AssignExpr { op: AssignOp::ColEq, lhs, rhs, .. } = outer.as_ref() {
        visit.expression(outer);
        pattern(lhs, visit);
        expression(rhs, visit);
    } else {
        walk(outer, visit);
    }
}

/// Shows an expression and those inside of it, whatever it is.
fn walk(outer: &Ref<Expr>, visit: &mut dyn Visitor) {
    visit.expression(outer);
    let mut each = |inner: &Ref<Expr>| expression(inner, visit);
    match outer.as_ref() {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. } => {}
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().for_each(each),
        Expr::Object { fields, .. } => {
            fields.iter().flat_map(|(_, name, value)| [name, value]).for_each(each);
        }
        Expr::ArrayCompr { term, query: inner, .. } | Expr::SetCompr { term, query: inner, .. } => {
            each(term);
            query(inner, visit);
        }
        Expr::ObjectCompr { key, value, query: inner, .. } => {
            [key, value].into_iter().for_each(each);
            query(inner, visit);
        }
        Expr::Call { fcn, params, .. } => [fcn].into_iter().chain(params).for_each(each),
        Expr::UnaryExpr { expr, .. } => each(expr),
        Expr::RefDot { .. } | Expr::RefBrack { .. } => computed(outer, &mut each),
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => [lhs, rhs].into_iter().for_each(each),
        Expr::Membership { key, value, collection, .. } => {
            key.iter().chain([value, collection]).for_each(each);
        }
    }
}

/// Shows what the steps of a reference are computed by, and what it begins with unless that is a name.
fn computed(mut rest: &Ref<Expr>, each: &mut impl FnMut(&Ref<Expr>)) {
    let outer = rest;
    loop {
        match rest.as_ref() {
            Expr::RefDot { refr, .. } => rest = refr,
            Expr::RefBrack { refr, index, .. } => {
                each(index);
                rest = refr;
            }
            Expr::Var { .. } => return,
            _ if rest == outer => return,
            _ => return each(rest),
        }
    }
}

/// Returns what a reference says, if the expression is one.
pub(super) fn reference(expression: &Expr) -> Option<Reference> {
    let mut names = Vec::new();
    let mut rest = expression;
    loop {
        match rest {
            Expr::Var { span, .. } => {
                names.push(span.text().to_owned());
                names.reverse();
                let end = expression.span().end.max(span.end);
                return Some(Reference { names, span: Span { end, ..span.clone() } });
            }
            Expr::RefDot { refr, field, .. } => {
                names.push(field.0.text().to_owned());
                rest = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                match index.as_ref() {
                    Expr::String { span, .. } => names.push(span.text().to_owned()),
                    // What follows a step that is computed is not known.
                    _ => names.clear(),
                }
                rest = refr;
            }
            _ => return None,
        }
    }
}

/// Returns the reference that a rule's head gives a value to.
pub(super) fn head(rule: &Rule) -> &Expr {
    match rule {
        Rule::Default { refr, .. } => refr,
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. }
            | RuleHead::Set { refr, .. }
            | RuleHead::Func { refr, .. } => refr,
        },
    }
}

/// Returns the arguments of a function; `None` if the rule is none.
pub(super) fn arguments(rule: &Rule) -> Option<&[Ref<Expr>]> {
    match rule {
        Rule::Spec { head: RuleHead::Func { args, .. }, .. } => Some(args),
        Rule::Default { args, .. } if !args.is_empty() => Some(args),
        _ => None,
    }
}
