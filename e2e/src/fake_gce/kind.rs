//! What a request asks for: one name a method of the discovery document.

/// Builds [`Kind`] and its names from one list.
macro_rules! kinds {
    ($($name:ident = $id:literal,)*) => {
        /// A method of Compute v1 that the fake serves.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $(#[doc = concat!("`compute.", $id, "`")] $name,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in the discovery document, without `compute.`.
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }
        }
    };
}

kinds! {
    AggregatedAddresses = "addresses.aggregatedList",
    DeleteAddress = "addresses.delete",
    AggregatedDisks = "disks.aggregatedList",
    DeleteDisk = "disks.delete",
    GetDisk = "disks.get",
    ListDisks = "disks.list",
    DeleteFirewall = "firewalls.delete",
    GetFirewall = "firewalls.get",
    InsertFirewall = "firewalls.insert",
    ListFirewalls = "firewalls.list",
    PatchFirewall = "firewalls.patch",
    GetGlobalOperation = "globalOperations.get",
    WaitGlobalOperation = "globalOperations.wait",
    GetImage = "images.get",
    GetImageFamily = "images.getFromFamily",
    AggregatedInstances = "instances.aggregatedList",
    DeleteInstance = "instances.delete",
    GetInstance = "instances.get",
    SerialPort = "instances.getSerialPortOutput",
    InsertInstance = "instances.insert",
    ListInstances = "instances.list",
    ResetInstance = "instances.reset",
    ResumeInstance = "instances.resume",
    SetLabels = "instances.setLabels",
    SetMetadata = "instances.setMetadata",
    SimulateMaintenance = "instances.simulateMaintenanceEvent",
    StartInstance = "instances.start",
    StopInstance = "instances.stop",
    GetRegion = "regions.get",
    GetSnapshot = "snapshots.get",
    GetZoneOperation = "zoneOperations.get",
    ListZoneOperations = "zoneOperations.list",
    WaitZoneOperation = "zoneOperations.wait",
    GetZone = "zones.get",
}

impl Kind {
    /// The method of this name.
    pub fn of(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.id() == id)
    }

    /// Whether it answers with an operation that it began.
    pub fn begins_operation(self) -> bool {
        use Kind::{
            DeleteAddress, DeleteDisk, DeleteFirewall, DeleteInstance, InsertFirewall,
            InsertInstance, PatchFirewall, ResetInstance, ResumeInstance, SetLabels, SetMetadata,
            SimulateMaintenance, StartInstance, StopInstance,
        };
        matches!(
            self,
            DeleteAddress
                | DeleteDisk
                | DeleteFirewall
                | DeleteInstance
                | InsertFirewall
                | InsertInstance
                | PatchFirewall
                | ResetInstance
                | ResumeInstance
                | SetLabels
                | SetMetadata
                | SimulateMaintenance
                | StartInstance
                | StopInstance
        )
    }

    /// Whether it lists over more than it must, so that a part can be missing.
    pub fn lists(self) -> bool {
        self.id().to_lowercase().ends_with("list")
    }
}
