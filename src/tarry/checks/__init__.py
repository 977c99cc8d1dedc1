"""checks: one file a check. `REGISTRY` is the list of them, in the order in which they are asked."""

from tarry.checks.bad_rcpt import BadRcpt
from tarry.checks.bare_newline import BareNewline
from tarry.checks.dnslists import DnsLists
from tarry.checks.dynamic_name import DynamicName
from tarry.checks.helo import Helo
from tarry.checks.karma import Karma
from tarry.checks.many_errors import ManyErrors
from tarry.checks.many_noop import ManyNoop
from tarry.checks.many_rcpt import ManyRcpt
from tarry.checks.many_rset import ManyRset
from tarry.checks.non_smtp import NonSmtp
from tarry.checks.null_sender_many_rcpt import NullSenderManyRcpt
from tarry.checks.pipelining import Pipelining
from tarry.checks.predata import PreDataCheck
from tarry.checks.pregreet import Pregreet
from tarry.checks.ptr import Ptr
from tarry.checks.rhsbl import Rhsbl
from tarry.core.check import Check

REGISTRY: tuple[Check, ...] = (
    Pregreet(),
    PreDataCheck(),
    Pipelining(),
    BareNewline(),
    NonSmtp(),
    ManyErrors(),
    Karma(),
    DnsLists(),
    Rhsbl(),
    Ptr(),
    DynamicName(),
    Helo(),
    ManyRcpt(),
    ManyRset(),
    ManyNoop(),
    BadRcpt(),
    NullSenderManyRcpt(),
)
