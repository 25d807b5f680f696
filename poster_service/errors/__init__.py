"""Every error of the service, drawn as a tree; whose fault it is decides the branch.

    PosterError
    ├── CallerError                 the request is at fault
    │   ├── BadRequest              not JSON, not a form, not text
    │   ├── InvalidField            a field is unknown, missing, of the wrong type or out of range
    │   ├── UnknownTemplate
    │   ├── InvalidData             the data does not fit the template's schema
    │   ├── HeadersTooLarge
    │   ├── JsonTooComplex
    │   ├── NotAcceptable           several outputs, and Accept has no type that they can come in
    │   ├── BodyRefused             the body is not read to its end
    │   │   ├── BodyTooLarge
    │   │   ├── BodyTooSlow
    │   │   ├── UnsupportedMediaType
    │   │   └── FormRefused         a form, where one may be sent
    │   │       ├── FormTooComplex
    │   │       └── CrossOriginForm     a page of another origin sent it
    │   ├── PageUnfit               known only when the page is there
    │   │   ├── PictureTooLarge     by its layout
    │   │   ├── ContentTooLarge     the text of a page is longer than an answer may be
    │   │   ├── PagesOutOfRange     the document has none of the pages asked for
    │   │   ├── SelectorNotFound    no element of the page matches
    │   │   ├── SelectorEmpty       the element has no size
    │   │   ├── ClipOutside         of the document
    │   │   ├── WaitFailed          what the page was to be waited for cannot be asked
    │   │   ├── ScriptFailed        `fail_on`, and a script of the page failed
    │   │   ├── MissingGlyph        `fail_on`, and no font has a character of the page
    │   │   ├── FetchDenied         the policy denied the page's `url`, or, with strict, a fetch
    │   │   ├── UrlStatus           `url` answered with a status of 400 or more
    │   │   └── NotAPage            what `url` answered with is no page
    │   ├── DestinationDenied       the policy denied the `destination` of a result, or a webhook
    │   ├── Unauthorized            no token, or an unknown one
    │   ├── CrossOriginRequest      GET /render that a browser sends for a page of another origin
    │   ├── UnknownHost             a Host header with a name that is not in POSTER_SERVER_NAMES
    │   ├── Forbidden               a signed URL that is invalid or has expired
    │   │   ├── BadSignature
    │   │   ├── UnknownKey
    │   │   ├── UrlExpired
    │   │   └── ExpiryTooFar
    │   ├── JobRefused              a job or batch cannot be accepted
    │   │   ├── KeyReused           its Idempotency-Key came before, with another request
    │   │   ├── TooManyJobs         of this caller have not ended
    │   │   └── TooManyBatches      of this caller have not ended
    │   ├── RecordRefused           what an id names cannot be shown or changed
    │   │   ├── UnknownResult       no stored result has that name
    │   │   ├── UnknownJob          no job of this caller has that id
    │   │   ├── UnknownBatch        no batch of this caller has that id
    │   │   ├── UnknownDeadLetter   no webhook of this caller that failed has that id
    │   │   ├── JobEnded            it cannot be cancelled any more
    │   │   └── BatchEnded          it cannot be cancelled or tried again
    │   └── OverQuota               the caller has used up its quota
    │       ├── RateLimited
    │       └── ConcurrencyLimited
    ├── LoadError                   the service has no room now
    │   ├── Overloaded
    │   └── Stopping
    ├── RenderFailed                the page or its Chrome is at fault
    │   ├── PageCrashed
    │   ├── PageFailed
    │   ├── ChromeDied
    │   ├── FetchFailed             strict, and a fetch of the page failed
    │   ├── ResourceStatus          fail_on_status, and something had such a status
    │   ├── UrlUnreachable          `url` cannot be fetched
    │   ├── StorageFailed           the result cannot be stored
    │   ├── DestinationFailed       the result cannot be sent to its `destination`
    │   └── RenderTimeout
    ├── JobFailed                   the queue of jobs is at fault
    │   ├── QueueUnavailable        it does not answer
    │   ├── JobLost                 the workers of a job died again and again
    │   └── JobsMissing             the service is installed without what jobs need
    └── OperatorError               the service cannot run; one line on stderr
        ├── InvalidSettings
        ├── ChromeNotFound
        ├── ChromeNotStarted
        ├── TemplatesBroken
        ├── AddressInUse
        └── UnauthenticatedBind

An error has a short public sentence: what is wrong, the value seen, what is allowed. Its cause is
for the log only. `problems.py` has the one table that gives each error its HTTP status.

The classes are in the modules of this package; all are imported from here.
"""

from poster_service.errors.base import MOST_CHARACTERS, MOST_FAULTS, CallerError, Fault, PosterError
from poster_service.errors.jobs import (
    BatchEnded,
    JobEnded,
    JobFailed,
    JobLost,
    JobRefused,
    JobsMissing,
    KeyReused,
    QueueUnavailable,
    RecordRefused,
    TooManyBatches,
    TooManyJobs,
    UnknownBatch,
    UnknownDeadLetter,
    UnknownJob,
    UnknownResult,
)
from poster_service.errors.page import (
    DISPLAYED,
    ChromeDied,
    ClipOutside,
    ContentTooLarge,
    DestinationFailed,
    FetchDenied,
    FetchFailed,
    MissingGlyph,
    NotAPage,
    PageCrashed,
    PageFailed,
    PagesOutOfRange,
    PageUnfit,
    PictureTooLarge,
    RenderFailed,
    RenderTimeout,
    ResourceStatus,
    ScriptFailed,
    SelectorEmpty,
    SelectorNotFound,
    StorageFailed,
    UrlStatus,
    UrlUnreachable,
    WaitFailed,
)
from poster_service.errors.request import (
    BadRequest,
    BadSignature,
    BodyRefused,
    BodyTooLarge,
    BodyTooSlow,
    ConcurrencyLimited,
    CrossOriginForm,
    CrossOriginRequest,
    DestinationDenied,
    ExpiryTooFar,
    Forbidden,
    FormRefused,
    FormTooComplex,
    HeadersTooLarge,
    InvalidData,
    InvalidField,
    JsonTooComplex,
    NotAcceptable,
    OverQuota,
    RateLimited,
    Unauthorized,
    UnknownHost,
    UnknownKey,
    UnknownTemplate,
    UnsupportedMediaType,
    UrlExpired,
)
from poster_service.errors.service import (
    AddressInUse,
    ChromeNotFound,
    ChromeNotStarted,
    InvalidSettings,
    LoadError,
    OperatorError,
    Overloaded,
    Stopping,
    TemplatesBroken,
    UnauthenticatedBind,
)

__all__ = [
    "DISPLAYED",
    "MOST_CHARACTERS",
    "MOST_FAULTS",
    "AddressInUse",
    "BadRequest",
    "BadSignature",
    "BatchEnded",
    "BodyRefused",
    "BodyTooLarge",
    "BodyTooSlow",
    "CallerError",
    "ChromeDied",
    "ChromeNotFound",
    "ChromeNotStarted",
    "ClipOutside",
    "ConcurrencyLimited",
    "ContentTooLarge",
    "CrossOriginForm",
    "CrossOriginRequest",
    "DestinationDenied",
    "DestinationFailed",
    "ExpiryTooFar",
    "Fault",
    "FetchDenied",
    "FetchFailed",
    "Forbidden",
    "FormRefused",
    "FormTooComplex",
    "HeadersTooLarge",
    "InvalidData",
    "InvalidField",
    "InvalidSettings",
    "JobEnded",
    "JobFailed",
    "JobLost",
    "JobRefused",
    "JobsMissing",
    "JsonTooComplex",
    "KeyReused",
    "LoadError",
    "MissingGlyph",
    "NotAPage",
    "NotAcceptable",
    "OperatorError",
    "OverQuota",
    "Overloaded",
    "PageCrashed",
    "PageFailed",
    "PageUnfit",
    "PagesOutOfRange",
    "PictureTooLarge",
    "PosterError",
    "QueueUnavailable",
    "RateLimited",
    "RecordRefused",
    "RenderFailed",
    "RenderTimeout",
    "ResourceStatus",
    "ScriptFailed",
    "SelectorEmpty",
    "SelectorNotFound",
    "Stopping",
    "StorageFailed",
    "TemplatesBroken",
    "TooManyBatches",
    "TooManyJobs",
    "UnauthenticatedBind",
    "Unauthorized",
    "UnknownBatch",
    "UnknownDeadLetter",
    "UnknownHost",
    "UnknownJob",
    "UnknownKey",
    "UnknownResult",
    "UnknownTemplate",
    "UnsupportedMediaType",
    "UrlExpired",
    "UrlStatus",
    "UrlUnreachable",
    "WaitFailed",
]
