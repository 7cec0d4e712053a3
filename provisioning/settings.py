"""Django's settings, made from `provisioning.config`; no value is read from anywhere else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url

from provisioning import __version__, config, logs, state

CONFIG = config.current().values
BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = state.prepare_state_dir(CONFIG.state_dir)

SECRET_KEY = state.read_or_create_secret(STATE_DIR, "django_key")
JWT_KEY = CONFIG.auth.jwt_secret or state.read_or_create_secret(STATE_DIR, "jwt_secret")
DEBUG = False
ALLOWED_HOSTS = list(CONFIG.server.allowed_hosts)
ROOT_URLCONF = "provisioning.urls"
WSGI_APPLICATION = "provisioning.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "provisioning.views.csrf_failure"
DATA_UPLOAD_MAX_MEMORY_SIZE = CONFIG.server.max_body_bytes

INSTALLED_APPS = [
    "provisioning.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "corsheaders",
    "django_prometheus",
    "django_q",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "accounts",
    "autoinstall",
    "operations",
    "provisioning.apps.ProvisioningConfig",
]

MIDDLEWARE = [
    "provisioning.middleware.RequestContextMiddleware",
    "provisioning.middleware.MachineRoutesMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "provisioning.middleware.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "provisioning.middleware.BodyLimitMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.console.timeouts.ConsoleTimeoutMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database ---------------------------------------------------------------------------------

DATABASES: dict[str, dict[str, Any]] = {
    "default": dict(dj_database_url.parse(CONFIG.database.url))
    if CONFIG.database.url
    # Not by way of a URL, in which a path with '#' or '?' means something else.
    else {"ENGINE": "django.db.backends.sqlite3", "NAME": str(STATE_DIR / "db.sqlite3")}
}
IS_SQLITE = DATABASES["default"]["ENGINE"].endswith("sqlite3")
if IS_SQLITE:
    state.make_private(Path(DATABASES["default"]["NAME"]))
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": (
            "PRAGMA journal_mode=WAL;"
            f"PRAGMA synchronous={CONFIG.database.synchronous};"
            "PRAGMA temp_store=MEMORY;"
            "PRAGMA mmap_size=134217728;"
            "PRAGMA cache_size=-16000;"
        ),
    }
    # Reconnecting for each request was measured to cost four times a kept connection.
    DATABASES["default"]["CONN_MAX_AGE"] = None
    DATABASES["default"]["TEST"] = {"NAME": str(STATE_DIR / "test.sqlite3")}
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 600
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# A refused request must still leave its audit event.
DATABASES["default"]["ATOMIC_REQUESTS"] = False

# --- People -----------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["accounts.backends.RoleBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CONSOLE_IDLE_SECONDS = CONFIG.auth.console_idle_minutes * 60
CONSOLE_SESSION_SECONDS = CONFIG.auth.console_session_hours * 3600
SESSION_COOKIE_AGE = CONSOLE_SESSION_SECONDS
CSRF_COOKIE_SAMESITE = "Lax"
PUBLIC_URL = CONFIG.server.public_url
TLS_CERT = CONFIG.server.tls_cert
SERVES_HTTPS = bool(CONFIG.server.tls_cert) or CONFIG.server.public_url.startswith("https://")
SESSION_COOKIE_SECURE = SERVES_HTTPS
CSRF_COOKIE_SECURE = SERVES_HTTPS
CSRF_TRUSTED_ORIGINS = [CONFIG.server.public_url] if CONFIG.server.public_url else []
SECURE_HSTS_SECONDS = 365 * 86400 if SERVES_HTTPS else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
TRUSTED_PROXIES = CONFIG.server.trusted_proxies
LOCKOUT_FAILURES = CONFIG.auth.lockout_failures
LOCKOUT_SECONDS = CONFIG.auth.lockout_minutes * 60

SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_KEY,
    "ISSUER": "provisioning-server",
    "ACCESS_TOKEN_LIFETIME": timedelta(hours=CONFIG.auth.token_expiry_hours),
    "REFRESH_TOKEN_LIFETIME": timedelta(hours=CONFIG.auth.refresh_token_expiry_hours),
    "USER_ID_CLAIM": "sub",
    "AUTH_HEADER_TYPES": ("Bearer",),
    "UPDATE_LAST_LOGIN": False,
}

# --- API --------------------------------------------------------------------------------------

CORS_ALLOW_ALL_ORIGINS = CONFIG.server.cors_enabled and "*" in CONFIG.server.cors_allowed_origins
CORS_ALLOWED_ORIGINS = [
    origin
    for origin in CONFIG.server.cors_allowed_origins
    if CONFIG.server.cors_enabled and origin != "*"
]
CORS_URLS_REGEX = r"^/(v1|health)(/|$)"
CORS_ALLOW_HEADERS = (
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "prefer",
    "range",
    "x-request-id",
)
CORS_EXPOSE_HEADERS = (
    "content-range",
    "link",
    "location",
    "retry-after",
    "preference-applied",
    "x-log-complete",
    "x-next-offset",
    "x-request-id",
    "x-total-count",
)

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.AccessTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.RequiredPermission"],
    "DEFAULT_PARSER_CLASSES": ["provisioning.formats.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["provisioning.formats.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "provisioning.formats.FirstRenderer",
    "DEFAULT_PAGINATION_CLASS": "provisioning.pagination.KeysetPagination",
    "DEFAULT_SCHEMA_CLASS": "provisioning.openapi.Schema",
    "EXCEPTION_HANDLER": "provisioning.exception_handler.handle",
    "DATETIME_FORMAT": "iso-8601",
    "COERCE_DECIMAL_TO_STRING": False,
    "URL_FORMAT_OVERRIDE": None,
    "FORMAT_SUFFIX_KWARG": None,
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Provisioning Server",
    "VERSION": __version__,
    "DESCRIPTION": (
        "Servers, taskservs, clusters and workflows as asynchronous operations. "
        "Every launching call answers 202 with an operation; poll it until its status is final."
    ),
    "LICENSE": {"name": "Apache-2.0"},
    "SCHEMA_PATH_PREFIX": r"/v1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "OperationStatus": "operations.models.Operation.Status",
        "OperationKind": "operations.commands.KIND_CHOICES",
        "StepKind": "operations.commands.STEP_KIND_CHOICES",
    },
    "POSTPROCESSING_HOOKS": [
        "provisioning.openapi.write_pydantic_as_openapi_3_0",
        "drf_spectacular.hooks.postprocess_schema_enums",
        "provisioning.openapi.add_error_responses",
    ],
}

# --- Operations -------------------------------------------------------------------------------

CLI_PATH = CONFIG.provisioning.cli_path
if "/" in CLI_PATH:  # the CLI starts in another directory; a bare name is looked for on the PATH
    CLI_PATH = str(Path(CLI_PATH).absolute())
CLI_COMMANDS = CONFIG.provisioning.commands
OPERATION_TIMEOUT_SECONDS = CONFIG.provisioning.timeout_seconds
MAX_CONCURRENT_OPERATIONS = CONFIG.provisioning.max_concurrent_operations
CANCEL_GRACE_SECONDS = CONFIG.provisioning.cancel_grace_seconds
SHUTDOWN_GRACE_SECONDS = CONFIG.provisioning.shutdown_grace_seconds
STATUS_TIMEOUT_SECONDS = CONFIG.provisioning.status_timeout_seconds
STATUS_CALLS_AT_ONCE = max(1, CONFIG.server.web_threads // 4)  # of each process
HELD_REQUESTS = (  # of each process
    CONFIG.server.web_threads // 4
    if CONFIG.server.held_requests is None
    else CONFIG.server.held_requests
)
STREAM_SECONDS = CONFIG.server.stream_seconds
RETENTION_DAYS = CONFIG.retention.operations_days
RETENTION_OPERATIONS = CONFIG.retention.operations
RETENTION_LOG_BYTES = CONFIG.retention.log_bytes
SYNC_MINUTES = CONFIG.provisioning.sync_minutes
LOG_MAX_BYTES = CONFIG.provisioning.log_max_bytes
QUEUE_BROKER = "" if CONFIG.queue.broker == "database" else CONFIG.queue.broker
QUEUE_POLL_SECONDS = CONFIG.queue.poll_seconds
WORKSPACE_ROOT = STATE_DIR / "workspaces"
CLI_ENVIRONMENT = config.current().environment_for_cli()

# Jobs never time out or repeat here: the operations table decides both (see operations.broker).
Q_CLUSTER = {
    "name": "provisioning",
    "label": "Background work",
    "broker_class": "operations.broker.TableBroker",
    "workers": 2,
    "queue_limit": 1,
    "max_attempts": 1,
    "save_limit": -1,
    # As good as never, both: without a timeout django-q2 warns at every start that it repeats jobs.
    "timeout": 5 * 365 * 86400,
    "retry": 10 * 365 * 86400,
    "ack_failures": True,
    "catch_up": False,
    "recycle": 100_000,
    "log_level": "WARNING",
    "cache": "q2",
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # django-q2 writes a status line here twice a second; nobody reads it, workers have their own row.
    "q2": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
}

# --- Auto-install -----------------------------------------------------------------------------

MACHINE_SECRETS_KEY = CONFIG.auto_install.secrets_key or state.read_or_create_secret(
    STATE_DIR, "machine_secrets_key"
)
ANSWER_BODY_MAX_BYTES = CONFIG.auto_install.max_body_bytes
REFUSALS_PER_MINUTE = CONFIG.auto_install.refusals_per_minute

# --- Static files, logs, metrics --------------------------------------------------------------

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 3600
LOGGING_CONFIG = None
logs.configure(CONFIG.logging.level, json_format=CONFIG.logging.json_format)
PROMETHEUS_EXPORT_MIGRATIONS = False

SILENCED_SYSTEM_CHECKS = [
    # TLS is Granian's or the proxy's business; each is set above when the server serves https.
    "security.W004",
    "security.W008",
    "security.W012",
    "security.W016",
]
