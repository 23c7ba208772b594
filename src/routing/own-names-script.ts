import type { KeyPattern } from '../config/patterns/pattern.ts'
import type { Occupant } from './occupant.ts'
import type { KeyRule } from './route.ts'
import { STAGING } from './staging-key.ts'

/**
 * `KeyspaceView.nameOf` for a script that a store runs: the Lua source of `local function isOwn(name)`, which says of a name in the store whether it stands for a key of the application. For what has to be done in one
 * moment, inside MULTI, where names cannot be asked for and filtered here. `looked` is 0 where the pattern that the store is asked by says all, and nothing has to be looked at name by name, which takes about ten times as long.
 *
 * A pattern is, as in `KeyPattern`, what its keys begin and end with, and for each wildcard the literal that ends it (false: the last one).
 */
export function ownNamesScript(
  rules: readonly KeyRule[],
  occupants: readonly Occupant[],
  isPlainHere: (rule: KeyRule) => boolean,
): string {
  if (isOnePrefix(rules, occupants)) return 'local looked=0\nlocal function isOwn() return true end'
  const fallback = rules.findIndex(({ pattern }) => pattern.text === '*')
  const ruleLines = rules.map((rule) => `{${patternOf(rule.pattern)},${isPlainHere(rule)}}`)
  const occupantLines = occupants.map(
    ({ rule, rename, live }) =>
      `{${rules.indexOf(rule) + 1},${patternOf(rename.from)},${patternOf(rename.to)},${orderOf(rename.from, rename.to)},${orderOf(rename.to, rename.from)},${live}}`,
  )
  return `local looked=1
local rules={${ruleLines.join(',')}}
local occupants={${occupantLines.join(',')}}
local fallback=${Math.max(0, fallback) + 1}
local staging=${luaString(STAGING)}
${MATCHING}`
}

/** `*` -> `app1:*` and nothing else: the pattern for the store says all. */
function isOnePrefix(rules: readonly KeyRule[], occupants: readonly Occupant[]): boolean {
  const [rule] = rules
  if (rules.length !== 1 || occupants.length !== 1 || !rule!.pattern.isCatchAll) return false
  return occupants[0]!.live && occupants[0]!.rename.to.literalPrefix.length > 0
}

function patternOf({ literalPrefix, wildcards, literalSuffix, endsInStar }: KeyPattern): string {
  const untils = wildcards.map(({ until }) => (until === null ? 'false' : luaString(until)))
  return `{${luaString(literalPrefix)},{${untils.join(',')}},${luaString(literalSuffix)},${endsInStar}}`
}

/** For each wildcard of `to` the place of the same one in `from`. */
function orderOf(to: KeyPattern, from: KeyPattern): string {
  const places = to.wildcards.map(({ name }) => from.wildcards.findIndex((wildcard) => wildcard.name === name) + 1)
  return `{${places.join(',')}}`
}

function luaString(bytes: Buffer): string {
  return `"${Array.from(bytes, (byte) => `\\${String(byte).padStart(3, '0')}`).join('')}"`
}

/** As `KeyPattern.locate`, `KeyRename.undo` (which is right exactly when applying gives the name again), `RouteTable.find` and `KeyspaceView.nameOf`. */
const MATCHING = `local sub,find,concat=string.sub,string.find,table.concat
local function locate(pattern,text)
  local prefix,untils,suffix,star=pattern[1],pattern[2],pattern[3],pattern[4]
  local stop,at=#text-#suffix,#prefix+1
  if at>stop+1 or sub(text,1,#prefix)~=prefix or sub(text,stop+1)~=suffix then return nil end
  local values={}
  for i,literal in ipairs(untils) do
    if literal then
      local first,last=find(text,literal,at+1,true)
      if not first or last>stop then return nil end
      values[i]=sub(text,at,first-1)
      at=last+1
    else
      values[i]=sub(text,at,stop)
      if values[i]=='' and not star then return nil end
      at=stop+1
    end
  end
  if at~=stop+1 then return nil end
  return values
end
local function write(pattern,values,order)
  local parts={pattern[1]}
  for i,literal in ipairs(pattern[2]) do
    parts[#parts+1]=values[order[i]]
    if literal then parts[#parts+1]=literal end
  end
  parts[#parts+1]=pattern[3]
  return concat(parts)
end
local function ruleOf(key)
  if key~='' then
    for i,rule in ipairs(rules) do if locate(rule[1],key) then return i end end
  end
  return fallback
end
local function undo(occupant,name)
  local values=locate(occupant[3],name)
  if not values then return nil end
  local key=write(occupant[2],values,occupant[4])
  values=locate(occupant[2],key)
  if not values or write(occupant[3],values,occupant[5])~=name then return nil end
  return key
end
local function isOwn(name)
  local hidden=#name>#staging and sub(name,1,#staging)==staging
  for _,occupant in ipairs(occupants) do
    local key=undo(occupant,name)
    if key and ruleOf(key)==occupant[1] then
      if occupant[6] then return true end
      hidden=true
    end
  end
  return not hidden and rules[ruleOf(name)][2]
end`
