# An example of a `provisioning` CLI in Nushell: the contract of docs/cli.md, and no more.
# Started as `nu --no-std-lib -n provisioning.nu server create web-01 --infra production ...`.
# One JSON file an object below PROVISIONING_WORKSPACE_ROOT; no lock, so one run at a time.

const NAME_RULE = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'

# Ends the run as the contract wants it: one JSON document, then an exit code that is not 0.
def fail [sentence: string, code: int] {
    print --stderr $sentence
    {status: "failed", result: null, error: $sentence} | to json --raw | print
    exit $code
}

def answer [result: any] { $result | to json --raw | print }

def check-name [field: string, value: string] {
    if $value !~ $NAME_RULE {
        fail $"($field) is '($value)', but must be 1 to 63 of a-z, 0-9 and '-'." 2
    }
}

def directory [infra: string, kind: string]: nothing -> path {
    check-name "infra" $infra
    $env.PROVISIONING_WORKSPACE_ROOT? | default "workspaces" | path join $infra $kind
}

def new-id [prefix: string]: nothing -> string {
    $"($prefix)-(random uuid | split row '-' | first)"
}

def now []: nothing -> string {
    date now | date to-timezone UTC | format date "%Y-%m-%dT%H:%M:%SZ"
}

def free-hostname [servers: path]: nothing -> string {
    1.. | each {|number| $"server-($number)" }
        | where {|name| not ($servers | path join $"($name).json" | path exists) } | first
}

def "main server create" [
    given?: string
    --infra: string
    --provider: string = "local"
    --plan: string
    --zone: string
    --tags: string = ""
    --check
] {
    if $plan == null { fail "plan is missing." 2 }
    let hostname = $given | default { free-hostname (directory $infra "servers") }
    let file = directory $infra "servers" | path join $"($hostname).json"
    check-name "hostname" $hostname
    if $provider != "local" {
        fail $"provider is '($provider)', but this CLI only knows provider 'local'." 2
    }
    if ($file | path exists) {
        fail $"Server '($hostname)' exists already in workspace '($infra)'." 4
    }
    let server = {
        id: (new-id "srv"), hostname: $hostname, provider: $provider, plan: $plan, zone: $zone
        ip_address: "127.0.0.1", status: (if $check { "checked" } else { "registered" })
        tags: ($tags | split row "," | where $it != ""), created_at: (now)
    }
    if not $check {
        mkdir ($file | path dirname)
        print --stderr $"Registering server '($hostname)'."
        $server | to json | save $file
    }
    answer $server
}

def "main server delete" [hostname: string, --infra: string, --check] {
    let file = directory $infra "servers" | path join $"($hostname).json"
    check-name "hostname" $hostname
    if not ($file | path exists) {
        fail $"There is no server '($hostname)' in workspace '($infra)'." 3
    }
    let server = open $file
    if not $check { rm $file }
    answer ($server | update status (if $check { "checked" } else { "deleted" }))
}

def "main server list" [--infra: string] {
    let files = glob (directory $infra "servers" | path join "*.json") | sort
    answer ($files | each {|file| open $file })
}

def "main taskserv create" [
    name: string
    --infra: string
    --server: string
    --version: string
    --settings: path
    --check
] {
    let file = directory $infra "taskservs" | path join $"($name).json"
    check-name "name" $name
    # A real one would give them to its installer. They are secrets: never print them.
    let settings = if $settings == null { {} } else { open --raw $settings | from json }
    print --stderr $"Installing ($name) with ($settings | columns | length) settings."
    let taskserv = {
        id: (new-id "tsk"), name: $name, version: $version, server: $server
        status: (if $check { "checked" } else { "installed" }), created_at: (now)
    }
    if not $check {
        mkdir ($file | path dirname)
        $taskserv | to json | save --force $file
    }
    answer $taskserv
}

def "main version" [] {
    answer {name: "provisioning-nu-example", version: "0.1.0"}
}

def main [] {
    fail "Say what to do, such as: version, server list --infra NAME." 2
}
