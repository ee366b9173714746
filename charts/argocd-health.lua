-- Health of a WalletPlatform for Argo CD (docs/argocd.md). Argo CD runs it with the live object as `obj`.
local hs = {status = "Progressing", message = "the operator has not processed it yet"}

if obj.metadata ~= nil and obj.metadata.deletionTimestamp ~= nil then
  hs.message = "being deleted"
end

-- A status for an earlier spec says nothing about this one.
if obj.status == nil or obj.status.conditions == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local found = {}
for _, condition in ipairs(obj.status.conditions) do
  found[condition.type] = condition
end

local function is(name)
  return found[name] ~= nil and found[name].status == "True"
end

local function said(name)
  local condition = found[name]
  if condition == nil then
    return ""
  end
  if condition.message == nil or condition.message == "" then
    return condition.reason
  end
  return condition.reason .. ": " .. condition.message
end

if is("Degraded") then
  hs.status = "Degraded"
  hs.message = said("Degraded")
elseif obj.spec.suspended == true or obj.spec.paused == true then
  -- Requested by a user: neither healthy nor a failure. Argo CD does not wait for it.
  hs.status = is("Progressing") and "Progressing" or "Suspended"
  hs.message = said("Ready")
elseif is("Ready") then
  hs.status = "Healthy"
  hs.message = said("Ready")
else
  hs.message = said("Ready")
end

return hs
